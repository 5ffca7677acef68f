"""Longest: how many tokens or steps of a sequence a graph takes, where it has a limit, such as positions."""

import time
from collections.abc import Callable
from functools import partial
from math import inf

import numpy as np

from export.data.datasets import Split
from export.errors import ExportFailed, reason_of
from serve.base.errors import ModelFailed
from serve.base.tensor import Arrays
from serve.engine.refusals import NO_MEMORY
from serve.engine.session import Session

# No limit is looked for beyond this, as attention takes memory by the square, or once a run takes so long.
_ENOUGH = 4096
_SLOW_S = 0.3


def find_longest(session: Session, rows: Split) -> dict[str, int]:
    """Free dimension right behind the rows -> the most that the graph takes of it, tried with one of these
    rows, repeated; without those that have no such limit, or where not all that is shorter works."""
    found = {}
    for spec in session.signature.inputs:
        dim = spec.shape[1] if session.signature.batches and len(spec.shape) > 1 else None
        if isinstance(dim, str) and dim not in found and dim in session.sizes:
            limit = _search(session.sizes[dim], partial(_run, session, rows, dim))
            if limit is not None:
                found[dim] = limit
    return found


def require_longest(session: Session, rows: Split, tokens: int) -> None:
    """Raise ExportFailed unless it answers a text as long as texts are cut to; its tokens are those of the
    longest row, again and again."""
    assert rows.lengths is not None, "texts have lengths"
    row = int(rows.lengths.argmax())
    length = int(rows.lengths[row])
    inputs = {name: np.resize(array[row, :length], (1, tokens)) for name, array in rows.inputs.items()}
    try:
        session.run(inputs)
    except ModelFailed as error:
        raise ExportFailed(
            f"{session.name} fails on a text of {tokens} tokens, and longer texts are cut to that "
            f"({reason_of(error)}); lower `source.max_tokens` to what the model has positions for"
        ) from error


def _search(known: int, seconds: Callable[[int], float | None]) -> int | None:
    """The last size that takes any `seconds`, where the next one fails (None); None: none fails that is not
    too slow, or a smaller one does, too."""
    good, bad = known, 2 * known
    while (took := seconds(bad) if bad <= _ENOUGH else _SLOW_S) is not None:
        if took >= _SLOW_S:
            return None
        good, bad = bad, 2 * bad
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if seconds(middle) is None else (middle, bad)
    # A graph that takes every eighth size only, or just one, has no longest.
    between = {known, known + 1, (known + good) // 2, good - 1, good}
    works = all(seconds(size) is not None for size in between if known <= size <= good)
    return good if works else None


def _run(session: Session, rows: Split, dim: str, size: int) -> float | None:
    """The CPU time that the graph takes for so many, infinite where memory does not suffice; None: it
    fails."""
    began = time.process_time()
    try:
        session.run(_repeat(session, rows, dim, size))
    except ModelFailed as error:
        return inf if NO_MEMORY in str(error) else None
    return time.process_time() - began


def _repeat(session: Session, rows: Split, dim: str, size: int) -> Arrays:
    """The longest row, its tokens again and again."""
    row = 0 if rows.lengths is None else int(rows.lengths.argmax())
    inputs = {}
    for spec in session.signature.inputs:
        array = rows.inputs[spec.name][row : row + 1]
        for axis, name in enumerate(spec.shape):
            if name == dim:
                length = array.shape[axis] if rows.lengths is None else int(rows.lengths[row])
                array = np.take(array, np.arange(size) % length, axis=axis)
        inputs[spec.name] = array
    return inputs
