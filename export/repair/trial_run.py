"""Runs a graph on real rows and finds the axis of the rows in its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.missing_values import blame_missing
from export.errors import ExportFailed, reason_of
from export.onnx.last_bits import measure_rounding
from export.onnx.model_proto import make_graph, open_model
from export.onnx.probe_rows import PROBES, probe
from export.repair.input_axes import InputForm, turn_all
from serve.base.tensor import Arrays

_OTHER_TYPES = (
    "; on a processor it has few operators for bfloat16 and float64: convert the model in float32, or float16"
)


class Runner:
    """Runs a graph on rows in the form of its file."""

    def __init__(self, model: Any, forms: Mapping[str, InputForm]) -> None:
        """Raises ExportFailed if onnxruntime refuses the graph."""
        self.forms = forms
        self._names = [item.name for item in model.graph.output]
        try:
            self._session = open_model(model)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            fix = _OTHER_TYPES if "NOT_IMPLEMENTED" in str(error) else ""
            raise ExportFailed(f"onnxruntime refuses the file: {reason_of(error)}{fix}") from error

    def run(self, inputs: Arrays) -> Arrays:
        """Return the answers to these rows in the file's layout. Raises ExportFailed."""
        try:
            answers = self._session.run(self._names, turn_all(inputs, self.forms))
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise ExportFailed(
                f"onnxruntime cannot run the file on {count(inputs)} rows: {reason_of(error)}"
            ) from error
        outputs = dict(zip(self._names, answers, strict=True))
        for name, answer in outputs.items():
            if np.issubdtype(answer.dtype, np.floating) and np.isnan(answer).any():
                missing = blame_missing(inputs, np.arange(count(inputs)), "calibration")
                raise ExportFailed(
                    f"the output {name!r} is NaN on real rows: "
                    + (missing or "the model overflows, or is broken")
                )
        return outputs


@dataclass(frozen=True, kw_only=True)
class TrialRun:
    """A graph with a variable batch size, and its answers."""

    model: Any
    runner: Runner
    # Output -> the axis of its rows.
    axes: Mapping[str, int]
    # Rows and their answers, both with the rows first.
    runs: tuple[tuple[Arrays, Arrays], ...]

    def answer(self, inputs: Arrays) -> Arrays:
        """Return the answers to these rows, rows first. Raises ExportFailed."""
        return to_front(self.runner.run(inputs), self.axes)

    def measure_rounding(self, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
        """Return how far each number of the answers moves, rows first, if the weights change in their last
        bits."""
        turned = turn_all(inputs, self.runner.forms)
        moved = measure_rounding(make_graph(self.model), turned)
        pairs = zip(self.axes.items(), moved, strict=True)
        return {name: np.moveaxis(each, axis, 0) for (name, axis), each in pairs}


def try_graph(model: Any, rows: Split, forms: Mapping[str, InputForm]) -> TrialRun:
    """Run the graph on real rows in batches of several sizes. Raises ExportFailed if it fails, or an output
    does not follow the batch."""
    runner = Runner(model, forms)
    runs = []
    for size, share in PROBES:
        inputs = probe(rows, size, share)
        runs.append((inputs, runner.run(inputs)))
    axes = {item.name: _find_axis(item.name, runs) for item in model.graph.output}
    fronted = tuple((inputs, to_front(answers, axes)) for inputs, answers in runs)
    return TrialRun(model=model, runner=runner, axes=axes, runs=fronted)


def to_front(answers: Arrays, axes: Mapping[str, int]) -> Arrays:
    """Move the rows of the answers from these axes to the front."""
    return {name: np.moveaxis(answer, axes[name], 0) for name, answer in answers.items()}


def count(inputs: Arrays) -> int:
    """Return the number of rows."""
    return len(next(iter(inputs.values())))


def _find_axis(name: str, runs: list[tuple[Arrays, Arrays]]) -> int:
    shapes = [answers[name].shape for _, answers in runs]
    counts = [count(inputs) for inputs, _ in runs]
    ranks = {len(shape) for shape in shapes}
    if len(ranks) == 1:
        for axis in range(ranks.pop()):
            if [shape[axis] for shape in shapes] == counts:
                return axis
    raise ExportFailed(
        f"the output {name!r} has the shapes {', '.join(map(str, shapes))} for batches of "
        f"{', '.join(map(str, counts))} rows: it does not follow the batch; convert the model again with "
        "None as the first dimension of all inputs, or leave the output out"
    )
