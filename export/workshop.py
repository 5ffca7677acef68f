"""Workshop: makes the graphs of a recipe's variants; what two of them share is made once."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from export.datasets import Data
from export.errors import StepFailed
from export.forward import to_tensors
from export.recipe import Finetune, Prune, Quantize, Recipe, Step, Steps
from export.sources import load_model
from export.steps.finetune import finetune
from export.steps.prune import prune
from export.steps.quantize import quantize
from export.to_onnx import Exported, to_onnx
from serve.errors import CounterweightError


class Workshop:
    """Holds the models and graphs made so far, by the steps that led to them."""

    def __init__(
        self, recipe: Recipe, checkpoint: bytes, data: Data, announce: Callable[[str], object]
    ) -> None:
        """`announce` hears what is being made, such as "slim: finetune"."""
        self._recipe = recipe
        self._checkpoint = checkpoint
        self._data = data
        self._announce = announce
        self._models: dict[Steps, torch.nn.Module] = {}
        self._graphs: dict[Steps, Exported] = {}

    def make(self, variant: str) -> Exported:
        """The variant's graph. Raises StepFailed, which names the variant and the step."""
        return self._graph(variant, self._recipe.variants[variant])

    def _graph(self, variant: str, steps: Steps) -> Exported:
        if steps not in self._graphs:
            self._graphs[steps] = self._make_graph(variant, steps)
        return self._graphs[steps]

    def _make_graph(self, variant: str, steps: Steps) -> Exported:
        if steps and isinstance(steps[-1], Quantize):
            exported = self._graph(variant, steps[:-1])
            with self._at(variant, f"step {len(steps)}, quantize"):
                return replace(exported, graph=quantize(exported.graph, steps[-1], self._data.calibration))
        model = self._model(variant, steps)
        with self._at(variant, "export to ONNX"):
            return to_onnx(model, self._data.calibration, self._recipe.outputs, self._recipe.opset)

    def _model(self, variant: str, steps: Steps) -> torch.nn.Module:
        if steps not in self._models:
            self._models[steps] = self._make_model(variant, steps)
        return self._models[steps]

    def _make_model(self, variant: str, steps: Steps) -> torch.nn.Module:
        if not steps:
            return load_model(self._recipe.source, self._checkpoint)
        before = copy.deepcopy(self._model(variant, steps[:-1]))
        with self._at(variant, f"step {len(steps)}, {steps[-1].step}"):
            return self._apply(before, steps[-1])

    def _apply(self, model: torch.nn.Module, step: Step) -> torch.nn.Module:
        match step:
            case Prune():
                return prune(
                    model, step, to_tensors(self._data.train.take(np.arange(2) % len(self._data.train)))
                )
            case Finetune():
                return finetune(model, step, self._data.train, self._data.search, self._recipe.seed)
            case Quantize():
                raise AssertionError("a recipe has no torch model to quantize")

    @contextmanager
    def _at(self, variant: str, place: str) -> Iterator[None]:
        self._announce(f"{variant}: {place}")
        try:
            yield
        except CounterweightError as error:
            raise StepFailed(f"variant {variant!r}, {place}: {error}") from error
        except Exception as error:  # torch and onnxruntime raise dozens of unrelated classes
            reason = f"{type(error).__name__}: {error}"
            raise StepFailed(f"variant {variant!r}, {place}: {reason}") from error
