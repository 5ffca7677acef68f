"""Trains a module epoch by epoch and keeps its best weights."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch.nn.modules.batchnorm import _NormBase
from tqdm import tqdm

from export.artifacts import Made, Note
from export.data.datasets import Data, Split
from export.errors import StepFailed
from export.forward import Tensors, to_tensors
from export.step import Training
from export.training.batches import Rows, random_batches
from export.training.checkpoint import State, random_state, restore_random_state
from export.training.dropout import no_dropout
from export.training.optimize import find_held, find_trainable, learning_rate_at, make_optimizer, weights_of
from export.training.quantize_aware import simulate_8bit
from export.training.scores import Score

# Takes the module, a batch of inputs, and the numbers of their rows in the train split; returns the loss.
Loss = Callable[[torch.nn.Module, Tensors, Rows], torch.Tensor]
# Figures of one epoch: loss, learning_rate, score.
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The loss and the score of a training."""

    loss: Loss
    # Score on the search split; higher is better.
    score: Score
    # A module that the loss needs and the model does not keep; it is trained, too.
    beside: torch.nn.Module = field(default_factory=torch.nn.Module)


class Trainer:
    """One training: the module, its optimizer, and the best weights so far."""

    def __init__(self, made: Made, goal: Goal, settings: Training, data: Data) -> None:
        """Prepare to train `made.module` in place. Raises StepFailed if there is too little to train or too
        little data, and InvalidData if there is no train split."""
        self._module = made.module
        self._goal = goal
        self._settings = settings
        self._rows = _require_rows(data, settings)
        self._calibration = data.calibration
        self._trained = find_trainable(made.module, settings)
        self._held = find_held(made.module, settings, self._trained)
        self._masks = {
            name: value != 0 for name, value in made.module.named_parameters() if name in made.pruned
        }
        parameters = [*self._trained.values(), *goal.beside.parameters()]
        self._optimizer = make_optimizer(parameters, settings)
        # A digest of the initial weights.
        self.start = _digest(made.module.state_dict())
        self._best = _copy(made.module.state_dict())
        # The figures of each epoch so far.
        self.history: list[Figures] = []

    @property
    def state(self) -> State:
        """Return everything that the following epochs depend on."""
        return {
            "history": self.history,
            "module": dict(self._module.state_dict()),
            "best": self._best,
            "beside": dict(self._goal.beside.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "random": random_state(),
        }

    def restore(self, state: State) -> None:
        """Continue from this state."""
        self.history = state["history"]
        self._module.load_state_dict(state["module"])
        self._best = state["best"]
        self._goal.beside.load_state_dict(state["beside"])
        self._optimizer.load_state_dict(state["optimizer"])
        restore_random_state(state["random"])

    def epochs(self) -> Iterator[Figures]:
        """Train one epoch after the other, and yield the figures of each."""
        with tqdm(
            total=self._settings.epochs, desc="training", unit="epoch", leave=False, disable=None
        ) as bar:
            bar.update(len(self.history))
            while not self._is_over():
                with _only(self._module, self._trained.values()):
                    figures = self._epoch()
                self.history.append(figures)
                bar.set_postfix(loss=f"{figures['loss']:.3f}", score=f"{figures['score']:.3f}")
                bar.update()
                yield figures

    def finish(self) -> Note:
        """Restore the best weights, in evaluation mode. Raises StepFailed if no weight changed."""
        self._module.load_state_dict(self._best)
        self._module.eval()
        if _digest(self._best) == self.start:
            raise StepFailed(
                f"{len(self.history)} epochs changed no weight; raise learning_rate from "
                f"{self._settings.learning_rate}"
            )
        scores = [figures["score"] for figures in self.history]
        return {
            "rows": len(self._rows),
            "epochs_run": len(scores),
            "best_epoch": len(scores) - scores[::-1].index(max(scores)),
            "score": max(scores),
        }

    def _is_over(self) -> bool:
        if len(self.history) == self._settings.epochs:
            return True
        if self._settings.patience is None or not self.history:
            return False
        # Epochs that are merely as good as the best do not count as better.
        scores = [figures["score"] for figures in self.history]
        return len(scores) - 1 - scores.index(max(scores)) >= self._settings.patience

    def _epoch(self) -> Figures:
        """Train one epoch, score it, and keep its weights if they are the best."""
        epoch = len(self.history) + 1
        with simulate_8bit(self._module, self._calibration, self._settings.quantize_aware) as refresh:
            with nullcontext() if self._settings.dropout else no_dropout(self._module):
                loss, learning_rate = self._pass(epoch)
            refresh()
            score = self._goal.score(self._module)
        self._refuse_infinite("score", score, epoch)
        if all(score >= figures["score"] for figures in self.history):
            self._best = _copy(self._module.state_dict())
        return {"loss": loss, "learning_rate": learning_rate, "score": score}

    def _pass(self, epoch: int) -> tuple[float, float]:
        """All rows once: their mean loss, and the last learning rate."""
        self._module.train()
        self._hold_statistics()
        batches = random_batches(self._rows, self._settings.batch_size)
        total, rate = 0.0, 0.0
        for number, rows in enumerate(batches, start=(epoch - 1) * len(batches)):
            rate = learning_rate_at(self._settings, number, self._settings.epochs * len(batches))
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            total += self._step(rows, epoch) * len(rows)
        return total / len(self._rows), rate

    def _step(self, rows: Rows, epoch: int) -> float:
        """One batch: its loss before the step."""
        self._optimizer.zero_grad()
        loss = self._goal.loss(self._module, to_tensors(self._rows.take(rows)), rows)
        if self._settings.l1:
            weights = weights_of(list(self._trained.values()))
            loss = loss + self._settings.l1 * torch.stack([value.abs().sum() for value in weights]).sum()
        value = float(loss.detach())
        self._refuse_infinite("loss", value, epoch)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [value.grad for value in self._trained.values() if value.grad is not None]
        self._refuse_infinite("gradient", float(torch.nn.utils.get_total_norm(gradients)), epoch)
        self._optimizer.step()
        with torch.no_grad():
            for name, mask in self._masks.items():
                if name in self._trained:
                    self._trained[name].mul_(mask)
        return value

    def _hold_statistics(self) -> None:
        """Batch normalization that is frozen must not drift by its statistics. Trained for 8 bits, it is
        folded into the convolution before it, which has fixed statistics; to scale an output channel scales
        its 8-bit steps with it, so nothing else of the folding need be imitated."""
        norms = [part for part in self._module.modules() if isinstance(part, _NormBase)]
        for norm in norms if self._settings.quantize_aware else self._held:
            norm.eval()

    def _refuse_infinite(self, what: str, value: float, epoch: int) -> None:
        if not math.isfinite(value):
            raise StepFailed(
                f"the {what} became {value} in epoch {epoch}: training diverged; "
                f"lower learning_rate from {self._settings.learning_rate}"
            )


def _require_rows(data: Data, settings: Training) -> Split:
    rows = data.require_train("training")
    if len(rows) < settings.batch_size:
        raise StepFailed(
            f"the train split has {len(rows)} rows, fewer than one batch of {settings.batch_size}; "
            "lower batch_size, or add rows"
        )
    return rows


@contextmanager
def _only(module: torch.nn.Module, trained: Iterable[torch.nn.Parameter]) -> Iterator[None]:
    """Inside, no gradient is computed for the other parameters."""
    chosen = {id(value) for value in trained}
    others = [value for value in module.parameters() if value.requires_grad and id(value) not in chosen]
    for value in others:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in others:
            value.requires_grad_(True)


def _copy(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def _digest(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode())
        digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
