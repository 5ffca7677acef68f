"""Finds the node of a graph at which the rows of a run affect each other."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.data.datasets import Split
from export.onnx.graph import nodes_of
from export.proof.row_independence import (
    LARGEST_ROWS,
    NUMBER,
    ROWS,
    first_rows,
    is_another,
    large_trial,
    trials,
)
from export.quantization.calibration import TensorWatch

# These operators quantize by the range of the whole batch.
_DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
Values = Mapping[str, Any]


def find_mixer(graph: bytes, split: Split, beside: str) -> str | None:
    """Return the first node, in the graph's order, whose value for a row changes when `beside` changes, such
    as "ReduceMean 'mean'"; None if no inner value shows it."""
    model = onnx.load_from_string(graph)
    try:
        for changed in _changes(model, split, beside):
            for node in model.graph.node:
                if changed & set(node.output):
                    return f"{node.op_type} {node.name or node.output[0]!r}"
    except Exception:  # onnxruntime raises a dozen unrelated classes, and this only explains what is proven
        return None
    return None


def advise(graph: Any) -> str:
    """Advise what to do about a graph whose rows affect each other."""
    for node in nodes_of(graph):
        if node.op_type in _DYNAMIC:
            return (
                f"its {node.op_type} {node.name or node.output[0]!r} uses one quantization range for all "
                "rows of a run: "
                "start from the file as it was before dynamic quantization, and quantize it here"
            )
    return (
        "look for a mean, statistics, attention or a Softmax over the rows, and for batch normalization in "
        "training mode"
    )


def _changes(model: Any, split: Split, beside: str) -> Iterator[set[str]]:
    """Yield the inner values that differ for the same rows, trial by trial."""
    watch = TensorWatch(model, tuple(name for node in model.graph.node for name in node.output if name))
    rows = first_rows(split)
    together, alone = watch.look(rows), watch.look({name: array[:1] for name, array in rows.items()})
    axes = _find_axes(together, alone)
    if beside == NUMBER:
        yield {
            name
            for name, axis in axes.items()
            if _moved(_part(together[name], axis, slice(1), ROWS), alone[name], alone=True)
        }
    for trial in (*trials(split), *(large_trial(split, count) for count in LARGEST_ROWS)):
        if trial.beside == beside:
            before, after = watch.look(trial.before), watch.look(trial.after)
            count = len(next(iter(trial.before.values())))
            yield {
                name
                for name in before
                if _moved(*(_kept(each[name], axes.get(name), trial.kept, count) for each in (before, after)))
            }


def _find_axes(together: Values, alone: Values) -> dict[str, int]:
    """Return the axis of the rows of each value: the axis whose size scales with the number of rows."""
    found = {}
    for name, value in together.items():
        many, one = getattr(value, "shape", ()), getattr(alone[name], "shape", ())
        longer = [axis for axis, (long, short) in enumerate(zip(many, one, strict=False)) if long > short]
        if len(many) == len(one) and longer and many[longer[0]] == ROWS * one[longer[0]]:
            found[name] = longer[0]
    return found


def _kept(value: Any, axis: int | None, kept: slice, count: int) -> Any:
    """Return the part of the value that belongs to the rows. Floats without rows belong to all of them;
    integers without rows, such as counts, to none."""
    if axis is not None:
        return _part(value, axis, kept, count)
    return value if isinstance(value, np.ndarray) and value.dtype.kind == "f" else np.zeros(0)


def _part(value: NDArray[Any], axis: int, kept: slice, count: int) -> NDArray[Any]:
    """Return the part of these rows. Heads and positions of a row are adjacent."""
    size = value.shape[axis] // count
    start, stop, _ = kept.indices(count)
    return np.take(value, range(start * size, stop * size), axis)


def _moved(before: NDArray[Any], after: NDArray[Any], *, alone: bool = False) -> bool:
    if before.shape != after.shape or np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
        return False
    return is_another(before, after, alone=alone)
