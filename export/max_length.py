"""Finds the maximum sequence length of a graph, such as the size of its position table."""

import time
from collections.abc import Callable
from functools import partial
from math import inf

import numpy as np

from export.data.datasets import Split
from export.errors import ExportFailed, reason_of
from serve.base.errors import ModelFailed
from serve.base.tensor import Arrays
from serve.engine.input_faults import NO_MEMORY
from serve.engine.session import Session

# The search ends at this length, because attention takes quadratic memory, or when a run takes too long.
_ENOUGH = 4096
_SLOW_S = 0.3


def find_max_length(session: Session, rows: Split) -> dict[str, int]:
    """Find the limit of each free dimension directly after the rows, by repeating one of these rows.

    Dimensions without a limit are left out, as are those where a shorter sequence fails."""
    limits = {}
    for spec in session.signature.inputs:
        dim = spec.shape[1] if session.signature.batches and len(spec.shape) > 1 else None
        if isinstance(dim, str) and dim not in limits and dim in session.sizes:
            limit = _search(session.sizes[dim], partial(_run, session, rows, dim))
            if limit is not None:
                limits[dim] = limit
    return limits


def require_max_length(session: Session, rows: Split, tokens: int) -> None:
    """Raise ExportFailed unless the graph runs on a text of the length to which texts are truncated.

    The text repeats the tokens of the longest row."""
    assert rows.lengths is not None, "texts have lengths"
    row = int(rows.lengths.argmax())
    length = int(rows.lengths[row])
    inputs = {name: np.resize(array[row, :length], (1, tokens)) for name, array in rows.inputs.items()}
    try:
        session.run(inputs)
    except ModelFailed as error:
        raise ExportFailed(
            f"{session.name} fails on a text of {tokens} tokens, to which longer texts are truncated "
            f"({reason_of(error)}); lower `source.max_tokens` to what the model has positions for"
        ) from error


def _search(known: int, seconds: Callable[[int], float | None]) -> int | None:
    """Return the largest size that works (gives any `seconds`) before the first one that fails (gives None).

    Returns None if nothing fails within the time limit, or if a smaller size fails, too."""
    good, bad = known, 2 * known
    while (took := seconds(bad) if bad <= _ENOUGH else _SLOW_S) is not None:
        if took >= _SLOW_S:
            return None
        good, bad = bad, 2 * bad
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if seconds(middle) is None else (middle, bad)
    # A graph that takes only every eighth size, or a single one, has no maximum.
    between = {known, known + 1, (known + good) // 2, good - 1, good}
    works = all(seconds(size) is not None for size in between if known <= size <= good)
    return good if works else None


def _run(session: Session, rows: Split, dim: str, size: int) -> float | None:
    """Return the CPU time of a run with this size; infinite if memory does not suffice, None if the run
    fails."""
    began = time.process_time()
    try:
        session.run(_repeat(session, rows, dim, size))
    except ModelFailed as error:
        return inf if NO_MEMORY in str(error) else None
    return time.process_time() - began


def _repeat(session: Session, rows: Split, dim: str, size: int) -> Arrays:
    """Repeat the tokens of the longest row."""
    row = 0 if rows.lengths is None else int(rows.lengths.argmax())
    one = rows.take(np.array([row], np.int64))
    inputs = {}
    for spec in session.signature.inputs:
        array = one[spec.name]
        for axis, name in enumerate(spec.shape):
            if name == dim:
                length = array.shape[axis] if rows.lengths is None else int(rows.lengths[row])
                array = np.take(array, np.arange(size) % length, axis=axis)
        inputs[spec.name] = array
    return inputs
