"""Finds the node of a graph at which the rows of a run affect each other."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.answer_distance import largest_apart
from export.data.datasets import Split
from export.onnx.graph import nodes_of
from export.onnx.model_proto import load
from export.proof.repeatability.row_independence import (
    LARGEST_ROWS,
    MORE_ROWS,
    NAN,
    NUMBER,
    PADDING,
    ROWS,
    first_rows,
    is_another,
    large_trial,
    take_rows,
    trials,
)
from export.quantization.calibration import TensorWatch
from serve.bundles.onnx_graph import Graph

# These operators quantize by the range of the whole batch.
_DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
# Tolerance relative to the largest number of a value: runs of other sizes round differently.
_NOTICED = 0.01
# Of all inner values of a run. Only the name of a node depends on these runs, so larger ones are left out.
_MOST_BYTES = 2**30
# Other rows do not change the answer, so that nothing takes a mean or statistics over them.
_NAN_ADVICE = (
    "only NaN in one row reaches another: replace NaN before a clamp, maximum, pooling or a product with "
    "zeros (`torch.nan_to_num` at the start of `forward`)"
)
Values = Mapping[str, Any]


def find_mixer(graph: Graph, split: Split, beside: str) -> str | None:
    """Return the first node, in the graph's order, whose value for a row changes when `beside` changes, such
    as "ReduceMean 'mean'"; None if no inner value shows it."""
    model = load(graph)
    try:
        for changed in _changes(model, split, beside):
            for node in model.graph.node:
                if changed & set(node.output):
                    return f"{node.op_type} {node.name or node.output[0]!r}"
    except Exception:  # onnxruntime raises a dozen unrelated classes, and this only explains what is proven
        return None
    return None


def explain_dependence(name: str, graph: Graph, beside: str, mixer: str | None) -> str:
    """Explain why the baseline `name` is refused: `beside` changes the answers, first in the node `mixer`."""
    if beside == PADDING:
        return (
            f"{name}: the answer to a text depends on how far it is padded to the length of longer texts in "
            "a run, and the server combines texts of different clients in one run; most likely a mean or "
            "maximum over the tokens ignores attention_mask: multiply by the mask before a sum and divide by "
            "the sum of the mask, or set padding to the lowest value before a maximum"
        )
    verb = "changes" if beside == NUMBER else "change"
    where = f", first in {mixer}" if mixer else ""
    return (
        f"{name}: the answer to a row depends on the other rows in a run ({beside} {verb} the "
        f"answer{where}), and the server combines rows of different clients in one run; "
        + (_NAN_ADVICE if beside == NAN else advise(load(graph).graph))
    )


def advise(graph: Any) -> str:
    """Advise what to do about a graph whose rows affect each other."""
    for node in nodes_of(graph):
        if node.op_type in _DYNAMIC:
            return (
                f"its {node.op_type} {node.name or node.output[0]!r} uses one quantization range for all "
                "rows of a run: start from the file as it was before dynamic quantization, and quantize it "
                "here"
            )
    return (
        "look for a mean, statistics, attention or a Softmax over the rows, for a table that is added along "
        "them, and for batch normalization in training mode"
    )


def _changes(model: Any, split: Split, beside: str) -> Iterator[set[str]]:
    """Yield the inner values that differ for the same rows, trial by trial."""
    watch = TensorWatch(model, tuple(name for node in model.graph.node for name in node.output if name))
    rows = first_rows(split)
    together, alone = watch.look(rows), watch.look({name: array[:1] for name, array in rows.items()})
    axes = _find_axes(together, alone)
    row_bytes = sum(getattr(value, "nbytes", 0) for value in together.values()) / ROWS
    most = _MOST_BYTES / max(1, row_bytes)
    if beside == NUMBER:
        yield from _find_placed(watch, split, axes, most)
    for trial in (*trials(split), *(large_trial(split, count) for count in LARGEST_ROWS if count <= most)):
        if trial.beside == beside:
            before, after = watch.look(trial.before), watch.look(trial.after)
            count = len(next(iter(trial.before.values())))
            yield {
                name
                for name in before
                if _moved(*(_kept(each[name], axes.get(name), trial.kept, count) for each in (before, after)))
            }


def _find_placed(
    watch: TensorWatch, split: Split, axes: Mapping[str, int], most: float
) -> Iterator[set[str]]:
    """Yield the inner values that differ between a row in its own run and in a run of at most `most` rows,
    size by size."""
    for count in (ROWS, MORE_ROWS, *reversed(LARGEST_ROWS)):
        if count > max(ROWS, most):
            return
        rows = take_rows(split, count)
        together = watch.look(rows)
        changed: set[str] = set()
        for place in (slice(0, 1), slice(count // 2, count // 2 + 1), slice(count - 1, count)):
            alone = watch.look({name: array[place] for name, array in rows.items()})
            changed |= {
                name
                for name, axis in axes.items()
                if _moved(_part(together[name], axis, place, count), alone[name], _NOTICED)
            }
        yield changed


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


def _moved(before: NDArray[Any], after: NDArray[Any], least: float | None = None) -> bool:
    if before.shape != after.shape or np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
        return False
    return is_another(before, after) if least is None else largest_apart(after, before, coarse=True) > least
