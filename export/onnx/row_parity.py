"""Compares a graph with its torch model on the calibration rows, a few at a time.

Both may agree on some rows and differ on others: torch and onnxruntime choose differently among equal
numbers, and treat NaN differently."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.answer_distance import SAME_FLOATS, shares_apart
from export.data.datasets import Split
from export.onnx.last_bits import measure_rounding
from export.onnx.probe_rows import distance
from serve.base.tensor import Arrays
from serve.bundles.onnx_graph import Graph

# Returns each output of the graph with torch's, of the same shape, for these inputs.
Ask = Callable[[Arrays], list[tuple[NDArray[Any], NDArray[Any]]]]
# More rows cost time and find few other faults.
_MOST_ROWS = 1024
# As many as the largest run of `PROBES`, so that no more memory is needed.
_BATCH_ROWS = 8
_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class RowDifference:
    """Rows for which an output of the graph differs from torch's by more than rounding explains."""

    # The output's place among the outputs.
    output: int
    # The first of these rows in the split.
    rows: tuple[int, ...]
    # The largest difference, relative to the usual size in its place; infinite for NaN and for integers.
    share: float


def compare_rows(ask: Ask, graph: Graph, split: Split) -> tuple[float, RowDifference | None]:
    """Return the largest absolute difference between the answers to the rows of `split`, and the first output
    that differs by more than rounding explains; None if none does. Of more than 1,024 rows, it compares 1,024
    from all over the split."""
    largest = 0.0
    suspects: dict[int, list[int]] = {}
    for rows in _batches(split):
        for place, (actual, expected) in enumerate(ask(split.take(rows))):
            largest = max(largest, distance(actual, expected))
            apart = shares_apart(actual, expected) > SAME_FLOATS
            suspects.setdefault(place, []).extend(rows[_in_row(apart)].tolist())
    for place, numbers in suspects.items():
        if difference := _judge(ask, graph, split, place, np.array(sorted(numbers), np.int64)):
            return largest, difference
    return largest, None


def _batches(split: Split) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of rows of similar length."""
    chosen = np.linspace(0, len(split) - 1, min(len(split), _MOST_ROWS)).astype(np.int64)
    if split.lengths is not None:
        chosen = chosen[np.argsort(split.lengths[chosen], kind="stable")]
    yield from np.array_split(chosen, -(-len(chosen) // _BATCH_ROWS))


def _in_row(apart: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(apart.reshape(len(apart), -1).any(axis=1))


def _judge(
    ask: Ask, graph: Graph, split: Split, place: int, suspects: NDArray[np.int64]
) -> RowDifference | None:
    """Return the difference unless rounding explains it, which takes many runs, only for the rows that
    differ."""
    for start in range(0, len(suspects), _BATCH_ROWS):
        rows = suspects[start : start + _BATCH_ROWS]
        inputs = split.take(rows)
        actual, expected = ask(inputs)[place]
        shares = shares_apart(actual, expected, rounding=measure_rounding(graph, inputs)[place])
        if (wrong := rows[_in_row(shares > SAME_FLOATS)]).size:
            named = tuple(wrong[:_MOST_NAMED].tolist())
            return RowDifference(output=place, rows=named, share=float(shares.max()))
    return None
