"""Builds the graphs of a recipe's variants. Steps that several variants share run only once and are
cached."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from export.artifacts import Context, Exported, Made, Trained
from export.cache import Cache
from export.data.datasets import Data
from export.errors import StepFailed
from export.onnx.from_onnx import from_onnx
from export.onnx.to_onnx import to_onnx
from export.pruning.surgery import replay
from export.recipe import Recipe
from export.reproducible import seed_everything
from export.step import (
    Distill,
    DropLayers,
    Finetune,
    Fuse,
    GraphStep,
    Half,
    Prune,
    Quantize,
    Steps,
    TorchStep,
)
from export.steps.distill import distill
from export.steps.drop_layers import drop_layers
from export.steps.finetune import finetune
from export.steps.fuse import fuse
from export.steps.half import half
from export.steps.prune import prune
from export.steps.quantize import quantize
from serve.base.errors import CounterweightError
from serve.bundles.meaning import Rule
from serve.tasks.task_table import TASKS


class VariantBuilder:
    """Takes models and graphs from the cache by the steps that produced them, or makes them."""

    def __init__(
        self, recipe: Recipe, trained: Trained, data: Data, cache: Cache, announce: Callable[[str], object]
    ) -> None:
        """`announce` receives what is being built, such as "slim: step 2, finetune"."""
        self._recipe = recipe
        self._trained = trained
        self._data = data
        self._cache = cache
        self._announce = announce

    def make(self, variant: str) -> Exported:
        """Build the variant's graph. Raises StepFailed, which names the variant and the step."""
        return self._graph(variant, self._recipe.variants[variant])

    @property
    def torch_keys(self) -> set[str]:
        """Return the cache keys of all torch models of the recipe's variants, cached or not."""
        return {
            self._key("torch", steps[:count])
            for steps in self._recipe.variants.values()
            for count in range(1, len(steps) + 1)
        }

    def _graph(self, variant: str, steps: Steps) -> Exported:
        key = self._key("graph", steps)
        exported = self._cache.load_exported(key)
        if exported is None:
            exported = self._make_graph(variant, steps)
            self._cache.save_exported(key, exported)
        return exported

    def _make_graph(self, variant: str, steps: Steps) -> Exported:
        if steps and isinstance(steps[-1], Fuse | Quantize | Half):
            before = self._graph(variant, steps[:-1])
            with self._at(variant, steps):
                return _work_on_graph(before, steps[-1], self._context(variant, steps))
        recipe = self._recipe
        if not steps and self._trained.graph is not None:
            exported = from_onnx(self._trained.graph, self._data.calibration, recipe.named_outputs)
            for note in exported.notes:
                changes = note["changes"]
                assert isinstance(changes, list), "from_onnx has written it"
                self._announce(f"{variant}: changes to the file: {'; '.join(map(str, changes))}")
            return exported
        made = self._model(variant, steps)
        with self._at(variant, None):
            exported = to_onnx(made.module, self._data.calibration, tuple(recipe.named_outputs), recipe.opset)
        return Exported(
            graph=exported.graph, signature=exported.signature, parity=exported.parity, notes=made.notes
        )

    def _model(self, variant: str, steps: Steps) -> Made:
        if not steps:
            return Made(module=self._build())
        context = self._context(variant, steps)
        key = self._key("torch", steps)
        made = self._cache.load_made(key, lambda surgery: replay(self._build(), surgery, context))
        if made is None:
            before = self._model(variant, steps[:-1])
            with self._at(variant, steps):
                seed_everything(self._recipe.seed)
                made = _work_on_torch(before, steps[-1], context)
            self._cache.save_made(key, made)
        return made

    def _build(self) -> torch.nn.Module:
        if self._trained.build is None:
            # The only step that may start from an ONNX file brings its own network.
            return torch.nn.Identity()
        return self._trained.build()

    def _context(self, variant: str, steps: Steps) -> Context:
        trained = self._trained
        if trained.graph is not None:
            # The teacher is the graph that is served: with the recipe's outputs, rows first.
            trained = replace(trained, graph=self._graph(self._recipe.baseline, ()).graph)
        rule, data = self._recipe.first_rule, self._data
        if not TASKS[self._recipe.task].learns_labels:
            rule, data = Rule(kind="numbers"), data.without_labels()
        return Context(
            trained=trained,
            task=self._recipe.task,
            rule=rule,
            data=data,
            seed=self._recipe.seed,
            scratch=self._cache.scratch(self._key("torch", steps)),
            logs=self._cache.logs(f"{variant}/{len(steps)}-{steps[-1].step}"),
            say=lambda text: self._announce(f"{variant}: {_name(steps)}: {text}"),
        )

    def _key(self, kind: str, steps: Steps) -> str:
        recipe = self._recipe
        described = [step.model_dump(mode="json") for step in steps]
        wire = [list(recipe.named_outputs.items()), recipe.opset] if kind == "graph" else []
        return self._cache.key(kind, described, wire)

    @contextmanager
    def _at(self, variant: str, steps: Steps | None) -> Iterator[None]:
        place = _name(steps) if steps else "export to ONNX"
        self._announce(f"{variant}: {place}")
        try:
            yield
        except OSError:  # the disk, and no fault of the step's
            raise
        except CounterweightError as error:
            raise StepFailed(f"variant {variant!r}, {place}: {error}") from error
        except Exception as error:  # torch and onnxruntime raise dozens of unrelated classes
            reason = f"{type(error).__name__}: {error}"
            raise StepFailed(f"variant {variant!r}, {place}: {reason}") from error


def _name(steps: Steps) -> str:
    """Name the last step."""
    return f"step {len(steps)}, {steps[-1].step}"


def _work_on_torch(made: Made, step: TorchStep | GraphStep, context: Context) -> Made:
    match step:
        case Prune():
            return prune(made, step, context)
        case DropLayers():
            return drop_layers(made, step, context)
        case Finetune():
            return finetune(made, step, context)
        case Distill():
            return distill(made, step, context)
    raise AssertionError(f"a recipe has no torch model for {step.step}")


def _work_on_graph(exported: Exported, step: GraphStep, context: Context) -> Exported:
    match step:
        case Fuse():
            return fuse(exported, step, context)
        case Quantize():
            return quantize(exported, step, context)
        case Half():
            return half(exported, step, context)
