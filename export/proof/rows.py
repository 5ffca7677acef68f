"""Rows: whether a variant's answer to a row depends on the rows beside it in a run.

The server puts rows of different clients into one run. A graph that sees them together (a range or statistics
of the whole batch, attention over it, a Softmax along it) would answer one client by what others sent."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.nearness import largest_apart
from serve.errors import ModelFailed
from serve.session import Session
from serve.tensor import Arrays

# Rows in a run; what stands in one half is changed, and the answers to the other are looked at. Some graphs
# see others only in a larger run.
_ROWS, _MORE_ROWS = 4, 16
# Times the row: what a client may send by mistake.
_EXTREME = 1e4
# Of what is usual in the same place. In runs of one size each row is computed alike, bit by bit, unless
# it sees others.
_SAME = 1e-5
# The same for a row in a run of its own, whose kernels add up in another order and so may round an 8-bit
# integer the other way.
_NEARLY_SAME = 0.1


def find_dependence(session: Session, split: Split) -> str | None:
    """What beside a real row of `split` changes its answer: other rows, extreme ones, NaN, or their number;
    None: nothing does."""
    if not session.signature.batches:
        return None
    # All of one padded length.
    arrays = split.take(np.arange(2 * _ROWS, dtype=np.int64) % len(split))
    rows, others = (
        {name: array[part] for name, array in arrays.items()} for part in (slice(_ROWS), slice(_ROWS, None))
    )
    before = session.run(rows)
    for words, beside in _neighbours(rows, others):
        for kept in (slice(0, _ROWS // 2), slice(_ROWS // 2, _ROWS)):
            if _moves(session, rows, before, beside, kept):
                return words
    more = split.take(np.arange(_MORE_ROWS, dtype=np.int64) % len(split))
    one_row = {name: np.repeat(array[1:2], _MORE_ROWS, 0) for name, array in more.items()}
    if _moves(session, more, session.run(more), one_row, slice(1)):
        return f"other rows in a run of {_MORE_ROWS}"
    for row in range(_ROWS):
        place = slice(row, row + 1)
        alone = session.run({name: array[place] for name, array in rows.items()})
        if _differ({name: answer[place] for name, answer in before.items()}, alone, slice(1), _NEARLY_SAME):
            return "their number"
    return None


def _moves(session: Session, rows: Arrays, before: Arrays, beside: Arrays, kept: slice) -> bool:
    """Whether the answers to the rows `kept` are others when the others of the run are those of `beside`."""
    mixed = {name: array.copy() for name, array in beside.items()}
    for name, array in mixed.items():
        array[kept] = rows[name][kept]
    try:
        return _differ(before, session.run(mixed), kept, _SAME)
    except ModelFailed:
        # Then the server gives each row of the run one of its own.
        return False


def _neighbours(rows: Arrays, others: Arrays) -> Iterator[tuple[str, Arrays]]:
    yield "other rows", others
    floats = {name: array for name, array in rows.items() if array.dtype.kind == "f"}
    if floats:
        # In half precision this is infinite, which is extreme, too.
        with np.errstate(over="ignore"):
            extreme = {
                name: (array.astype(np.float64) * _EXTREME).astype(array.dtype)
                for name, array in floats.items()
            }
        yield f"rows {_EXTREME:g} times as large", {**rows, **extreme}
        nan = {name: np.full_like(array, np.nan) for name, array in floats.items()}
        yield "rows of NaN", {**rows, **nan}


def _differ(before: Arrays, after: Arrays, kept: slice, share: float) -> bool:
    return any(_far(before[name][kept], after[name][kept], share) for name in before)


def _far(before: NDArray[np.generic], after: NDArray[np.generic], share: float) -> bool:
    # The largest of numbers that rounding moves may be another one.
    exact = share == _SAME or before.shape != after.shape or before.dtype.kind == "f"
    return exact and largest_apart(after, before, coarse=share != _SAME) > share
