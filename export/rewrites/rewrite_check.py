"""Checks that a rewritten graph still has its interface and gives the same answers."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.answer_distance import SAME_FLOATS, largest_apart
from export.data.datasets import Split
from export.errors import StepFailed
from export.onnx.last_bits import measure_rounding
from export.onnx.model_proto import load
from serve.base.tensor import Arrays
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph

# Batch sizes at which two graphs are compared.
_ROWS = (1, 3, 8)
# Number of rows on which errors are measured: an error in one row of twenty is then almost never missed.
_MOST_ROWS = 64
# Kinds of arrays of strings.
_TEXT = "OSU"


def require_same_interface(before: Any, after: Any) -> None:
    """Raise StepFailed unless both models have inputs and outputs of the same names, types and dimensions."""
    for kind in ("input", "output"):
        old, new = _describe(getattr(before.graph, kind)), _describe(getattr(after.graph, kind))
        if old != new:
            raise StepFailed(
                f"the graph's {kind}s changed from {old} to {new}, but servers and clients rely on them; "
                "remove the step, and report the graph"
            )


def prove_same(before: Graph, after: Graph, split: Split) -> float:
    """Return how far the answers of two float graphs differ on rows of the split. Raises StepFailed if they
    differ by more than the order of additions explains."""
    pairs = compare(before, after, split)
    difference = largest_difference(pairs)
    if not _are_same(pairs, [None] * len(pairs)) and not _are_same(
        pairs, [moved for rows in _choose(split) for moved in measure_rounding(before, rows)]
    ):
        raise StepFailed(
            f"the rewritten graph's answers are up to {difference:.2g} away from those before, on "
            "calibration rows, so it is not equivalent; remove the step, and report the graph"
        )
    return difference


def _are_same(
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]], roundings: Sequence[NDArray[np.float64] | None]
) -> bool:
    return all(
        largest_apart(new, old, rounding=rounding) <= SAME_FLOATS
        for (old, new), rounding in zip(pairs, roundings, strict=True)
    )


def measure_errors(before: Graph, after: Graph, split: Split) -> dict[str, float]:
    """Return the error of each float output on rows from all over the split: the root mean square of the
    difference, relative to that of the answer.

    Raises StepFailed if an answer becomes NaN."""
    names = [item.name for item in load(before).graph.output]
    squares: dict[str, NDArray[np.float64]] = {}
    sessions = [open_graph(before), open_graph(after)]
    for rows in _spread(split):
        arrays = dict(split.take(rows))
        for name, old, new in zip(names, *(session.run(None, arrays) for session in sessions), strict=True):
            if np.issubdtype(old.dtype, np.floating):
                squares[name] = squares.get(name, np.zeros(2)) + _square(name, old, new)
    return {name: _divide(*np.sqrt(sums)) for name, sums in squares.items()}


def _spread(split: Split) -> Iterator[NDArray[np.int64]]:
    """Yield some of the rows, a few of similar length at a time."""
    order = np.arange(len(split), dtype=np.int64)
    if split.lengths is not None:
        order = np.argsort(split.lengths, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(len(order), _MOST_ROWS)).astype(np.int64)]
    yield from np.array_split(chosen, -(-len(chosen) // _ROWS[-1]))


def _square(name: str, old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sums of squares of the difference and of the answer, where the answer is finite."""
    finite = np.isfinite(old)
    old, new = old[finite].astype(np.float64), new[finite].astype(np.float64)
    if not np.isfinite(new).all():
        raise StepFailed(
            f"the output {name!r} became NaN on search rows; use another method, "
            "or keep the layers before a division or a logarithm in float (`keep_float`)"
        )
    return np.array([np.sum(np.square(new - old)), np.sum(np.square(old))])


def _divide(error: float, size: float) -> float:
    # If an answer is always 0, any error is infinitely large.
    return float(error / size) if size else math.inf if error else 0.0


def compare(before: Graph, after: Graph, split: Split) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return every output of both graphs for a few batches."""
    sessions = [open_graph(before), open_graph(after)]
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for arrays in _choose(split):
        pairs += zip(*(session.run(None, dict(arrays)) for session in sessions), strict=True)
    return pairs


def _choose(split: Split) -> Iterator[Arrays]:
    """Choose batches of different sizes and, if rows have lengths, of different lengths: from the shortest
    row alone to the longest eight."""
    order = np.arange(len(split), dtype=np.int64)
    if split.lengths is not None:
        order = np.argsort(split.lengths, kind="stable")
    for size, start in zip(_ROWS, np.linspace(0, 1, len(_ROWS)), strict=True):
        first = round(start * max(0, len(order) - size))
        yield split.take(order[np.arange(first, first + size) % len(order)])


def largest_difference(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Return the largest difference between two numbers in the same place; 0 if the outputs have none, only
    strings."""
    numbers = [(old, new) for old, new in pairs if old.dtype.kind not in _TEXT]
    return max((float(np.max(np.abs(new.astype(np.float64) - old))) for old, new in numbers), default=0.0)


def count_operators(model: Any) -> dict[str, int]:
    """Count each operator in the graph, by name."""
    names = [str(node.op_type) for node in model.graph.node]
    return {name: names.count(name) for name in sorted(set(names))}


def _describe(values: Any) -> list[str]:
    described = []
    for value in values:
        tensor = value.type.tensor_type
        dims = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
        described.append(f"{value.name} {onnx.TensorProto.DataType.Name(tensor.elem_type)} {dims}")
    return described
