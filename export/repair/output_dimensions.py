"""Determines the dimensions of a graph's outputs from its answers, not from its declarations."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from export.data.inputs import MASK, TOKENS
from export.errors import ExportFailed
from export.onnx.probe_rows import BATCH
from export.repair.input_axes import Shape
from export.repair.trial_run import TrialRun
from serve.base.tensor import Arrays


def read_sizes(trial: TrialRun, dims: Mapping[str, Shape], declared: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the dimensions of each output, with the batch first.

    A dimension is the name of the input's dimension with the same size, a number if all runs have the same
    size, or a new name. `dims` are the inputs' dimensions, `declared` those in the file. Raises ExportFailed
    for an empty output."""
    runs = [*trial.runs, *_stretch(trial, dims)]
    for name in trial.axes:
        if not any(answers[name].size for _, answers in runs):
            refuse_empty(name, runs[0][1][name].shape)
    return {name: _read(name, runs, dims, declared[name]) for name in trial.axes}


def refuse_empty(name: str, shape: Sequence[int | str]) -> NoReturn:
    """Raise ExportFailed, because the output is empty."""
    raise ExportFailed(
        f"the output {name!r} is empty, {list(shape)}: leave it out of `outputs`, "
        "or correct the model, in which a dimension has the size 0"
    )


def _stretch(trial: TrialRun, dims: Mapping[str, Shape]) -> list[tuple[Arrays, Arrays]]:
    """Run with other sizes for free inputs whose size is constant in the data. Empty if the graph accepts
    neither double nor half the size."""
    axes = {
        name: [axis for axis, dim in enumerate(shape) if isinstance(dim, str) and dim not in (BATCH, TOKENS)]
        for name, shape in dims.items()
    }
    if not any(axes.values()):
        return []
    first, _ = trial.runs[0]
    changes: tuple[Callable[[Any, int], Any], ...] = (
        lambda array, axis: np.repeat(array, 2, axis),
        lambda array, axis: np.take(array, range(array.shape[axis] // 2 or 1), axis),
    )
    for change in changes:
        inputs = dict(first)
        for name, places in axes.items():
            for axis in places:
                inputs[name] = change(inputs[name], axis)
        try:
            return [(inputs, trial.answer(inputs))]
        except ExportFailed:
            continue
    return []


def _read(name: str, runs: list[tuple[Arrays, Arrays]], dims: Mapping[str, Shape], declared: Shape) -> Shape:
    shapes = [answers[name].shape[1:] for _, answers in runs]
    read: list[int | str] = [BATCH]
    for axis, sizes in enumerate(zip(*shapes, strict=True), start=1):
        promised = declared[axis] if axis < len(declared) else ""
        if MASK in dims and list(sizes) == [inputs[MASK].shape[1] for inputs, _ in runs]:
            read.append(TOKENS)
        elif promised in _names_of(sizes, runs, dims):
            read.append(promised)
        else:
            read.append(sizes[0] if len(set(sizes)) == 1 else f"{name}_{axis}")
    return tuple(read)


def _names_of(
    sizes: tuple[int, ...], runs: list[tuple[Arrays, Arrays]], dims: Mapping[str, Shape]
) -> set[int | str]:
    """Return the free input dimensions that had these sizes in these runs."""
    return {
        dim
        for name, shape in dims.items()
        for axis, dim in enumerate(shape)
        if isinstance(dim, str)
        and dim not in (BATCH, TOKENS)
        and [inputs[name].shape[axis] for inputs, _ in runs] == list(sizes)
    }
