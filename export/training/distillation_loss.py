"""Computes the loss of a distillation from the baseline's answers and the outputs of its layers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from export.artifacts import Context, Made
from export.data.datasets import Split
from export.data.inputs import MASK
from export.errors import InvalidData, StepFailed
from export.forward import Tensors, forward, to_tensors
from export.step import Distill, Match
from export.training.batches import Rows
from export.training.layer_outputs import LayerOutputs, eager_attention, layers_of, pair_layers, watch
from export.training.losses import (
    as_log_odds,
    attention_loss,
    chances_loss,
    embeddings_loss,
    hidden_loss,
    labels_loss,
    logits_loss,
    numbers_loss,
    similarities_loss,
)
from export.training.scores import label_rule, read_baseline
from export.training.teacher import teacher_answers
from serve.tasks.spread import scale_of

# Lower bound of the scale, for constant numbers.
_LEAST = 1e-6
_INNER: set[Match] = {"hidden", "attention"}
_OF_CLASSES: set[Match] = {"logits", "labels"}
_OF_EMBEDDINGS: set[Match] = {"embeddings", "similarities"}


class Matching:
    """The loss of a distillation. Holds the baseline's answers, and the baseline itself if it has to run."""

    def __init__(self, made: Made, settings: Distill, context: Context) -> None:
        """Raises StepFailed or InvalidData if something to match does not exist."""
        _refuse_task(settings, context)
        self._settings = settings
        self._rows = context.data.require_train("distill")
        self._labels = _require_labels(self._rows) if "labels" in settings.match else None
        self._rule = label_rule(context)
        self._answers = teacher_answers(context, self._rows)
        search = context.data.search
        self._meaning = read_baseline(context, teacher_answers(context, search), search)
        # Projections for layers of different widths, trained with the student and then discarded.
        self.projections = torch.nn.ModuleList()
        self._inner = _Inner(made, context) if _INNER & {*settings.match} else None
        if self._inner is not None:
            with self.running(made.module):
                self.projections = self._inner.fit(made.module, settings, self._rows)

    @contextmanager
    def running(self, module: torch.nn.Module) -> Iterator[None]:
        """Make the loss of `module` computable while the context lasts."""
        with ExitStack() as stack:
            if "attention" in self._settings.match and self._inner is not None:
                stack.enter_context(eager_attention(module, self._inner.teacher))
            yield

    def __call__(self, module: torch.nn.Module, inputs: Tensors, rows: Rows) -> torch.Tensor:
        """Return the weighted sum of all losses for these rows of the train split."""
        student_outputs, teacher_outputs = LayerOutputs(), LayerOutputs()
        if self._inner is None:
            output = forward(module, inputs)[0]
        else:
            output, student_outputs, teacher_outputs = self._inner.run(module, inputs)
        terms = [
            weight * self._distance(match, output, rows, inputs.get(MASK))
            if match not in _INNER
            else weight * self._inner_distance(match, student_outputs, teacher_outputs, inputs.get(MASK))
            for match, weight in self._settings.match.items()
        ]
        return torch.stack(terms).sum()

    def _distance(
        self, match: Match, output: torch.Tensor, rows: Rows, mask: torch.Tensor | None
    ) -> torch.Tensor:
        if match == "labels":
            assert self._labels is not None, "they were required"
            return labels_loss(self._rule, output, self._labels[torch.from_numpy(rows)])
        answers = torch.from_numpy(self._answers[rows])
        if output.ndim > 1:
            answers = answers[:, : output.shape[1]]
        if match == "logits":
            return self._match_scores(output, answers, mask if output.ndim == 3 else None)
        return (
            embeddings_loss(output, answers) if match == "embeddings" else similarities_loss(output, answers)
        )

    def _match_scores(
        self, output: torch.Tensor, answers: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Compare distributions for classes, values for numbers (the softmax of a single one is always 1),
        and both if the output may be either."""
        temperature = self._settings.temperature
        if self._meaning.kind == "labels":
            student, teacher = (as_log_odds(each, self._meaning) for each in (output, answers))
            return chances_loss(student, teacher, temperature)
        terms = []
        if self._meaning.kind == "classes":
            student, teacher = (each.movedim(self._meaning.axis, -1) for each in (output, answers))
            terms.append(logits_loss(student, teacher, temperature, mask))
        if self._meaning.spread:
            spread = torch.tensor(scale_of(self._meaning, tuple(output.shape)), dtype=torch.float32)
            terms.append(numbers_loss(output, answers, spread.clamp(min=_LEAST), mask))
        return torch.stack(terms).sum()

    def _inner_distance(
        self,
        match: Match,
        student_outputs: LayerOutputs,
        teacher_outputs: LayerOutputs,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        assert self._inner is not None, "what is matched is inside"
        terms = []
        for number, pair in enumerate(self._inner.pairs):
            if match == "attention":
                terms.append(
                    attention_loss(student_outputs.attention[number], teacher_outputs.attention[pair], mask)
                )
            else:
                projected = self.projections[number](student_outputs.hidden[number])
                terms.append(
                    hidden_loss(
                        projected, teacher_outputs.hidden[pair], mask if projected.ndim == 3 else None
                    )
                )
        return torch.stack(terms).mean()


class _Inner:
    """The layers of student and baseline, in pairs."""

    def __init__(self, made: Made, context: Context) -> None:
        if context.trained.build is None:
            raise StepFailed(
                f"`match: hidden` and `match: attention` look inside the baseline, and "
                f"{context.trained.name} is an ONNX graph: match its answers instead"
            )
        self.teacher = context.trained.build()
        # No layers of the baseline were dropped, but the stack has the same name.
        self._teacher_layers = layers_of(self.teacher, made.surgery)
        self._layers = layers_of(made.module, made.surgery)
        self.pairs = pair_layers(len(self._layers), len(self._teacher_layers), made.surgery)

    def run(
        self, module: torch.nn.Module, inputs: Tensors
    ) -> tuple[torch.Tensor, LayerOutputs, LayerOutputs]:
        """Return the module's first output, and the layer outputs of it and of the baseline."""
        with watch(self._layers) as student_outputs:
            output = forward(module, inputs)[0]
        with torch.no_grad(), watch(self._teacher_layers) as teacher_outputs:
            forward(self.teacher, inputs)
        return output, student_outputs, teacher_outputs

    def fit(self, module: torch.nn.Module, settings: Distill, rows: Split) -> torch.nn.ModuleList:
        """Make a projection for each layer. Raises StepFailed if shapes are incompatible."""
        with torch.no_grad():
            _, student_outputs, teacher_outputs = self.run(
                module, to_tensors(rows.take(np.arange(2, dtype=np.int64)))
            )
        projections = torch.nn.ModuleList()
        for number, pair in enumerate(self.pairs):
            if "attention" in settings.match:
                _refuse_attention(
                    student_outputs.attention.get(number), teacher_outputs.attention.get(pair), number, pair
                )
            here, there = student_outputs.hidden[number].shape, teacher_outputs.hidden[pair].shape
            if here[:-1] != there[:-1]:
                raise StepFailed(
                    f"`match: hidden`: layer {number} puts out {[*here]}, the baseline's layer {pair} "
                    f"{[*there]} (width last), and only widths may differ: match logits instead"
                )
            same = here[-1] == there[-1]
            projections.append(torch.nn.Identity() if same else torch.nn.Linear(here[-1], there[-1]))
        return projections


def _refuse_attention(here: torch.Tensor | None, there: torch.Tensor | None, number: int, pair: int) -> None:
    if here is None or there is None:
        raise StepFailed(f"`match: attention`: layer {number} gives no attention maps; match hidden instead")
    if here.shape != there.shape:
        raise StepFailed(
            f"`match: attention`: layer {number} has {here.shape[1]} heads, the baseline's layer {pair} has "
            f"{there.shape[1]}, and maps of different heads cannot be compared: match hidden instead"
        )


def _refuse_task(settings: Distill, context: Context) -> None:
    wrong, right = _OF_EMBEDDINGS, _OF_CLASSES
    if context.kind == "vectors":
        wrong, right = right, wrong
    if found := sorted(wrong & {*settings.match}):
        others = " or ".join(sorted(right))
        raise StepFailed(f"`match: {found[0]}` has no meaning for the task {context.task}; match {others}")


def _require_labels(rows: Split) -> torch.Tensor:
    if rows.labels is None:
        raise InvalidData(
            "`match: labels` needs labels, and the train split has none; add them, or match logits alone"
        )
    return torch.from_numpy(rows.labels)
