"""Rows: whether a variant's answer to a row depends on the rows beside it in a run.

The server puts rows of different clients into one run. A graph that sees them together (a range or statistics
of the whole batch, attention over it, a Softmax along it) would answer one client by what others sent."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.nearness import largest_apart
from export.proof.rounds import BUDGET_S, count_rounds
from export.proof.run_tolerance import are_other_answers
from export.proof.text_padding import depends_on_padding
from serve.base.errors import ModelFailed
from serve.base.tensor import Arrays
from serve.engine.session import Session

# Rows in a run; what stands in one half is changed, and the answers to the other are looked at. Some graphs
# see others only in a larger run.
ROWS, MORE_ROWS = 4, 16
# The largest of these for which there is time is tried as well: the server makes no batch whose speed there
# was no time to measure, and none that is larger.
LARGEST_ROWS = (64, 32)
# Times the row: what a client may send by mistake.
_EXTREME = 1e4
# Of what is usual in the same place. In runs of one size each row is computed alike, bit by bit, unless
# it sees others.
_SAME = 1e-5
# What changes an answer, where it is not what stands beside the row.
NUMBER, PADDING = "their number, or a row's place among them,", "padding"


@dataclass(frozen=True, kw_only=True)
class RowTrial:
    """Two runs of as many rows, in which some rows are the same."""

    # What the others become.
    beside: str
    before: Arrays
    after: Arrays
    kept: slice


def find_dependence(session: Session, graph: bytes, split: Split) -> str | None:
    """What beside a real row of `split` changes its answer: other rows, extreme ones, NaN, their number or
    its place among them, or the padding of a text to their length; None: nothing does."""
    if not session.signature.batches:
        return None
    largest = _find_largest(session, split)
    for trial in (*trials(split), *(large_trial(split, count) for count in largest)):
        before = session.run(trial.before)
        try:
            after = session.run(trial.after)
        except ModelFailed:
            # Then the server gives each row of the run one of its own.
            continue
        if any(is_another(before[name][trial.kept], after[name][trial.kept]) for name in before):
            return trial.beside
    if _depends_on_place(session, graph, split, (ROWS, MORE_ROWS, *largest)):
        return NUMBER
    return PADDING if depends_on_padding(session, graph, split) else None


def first_rows(split: Split, others: bool = False) -> Arrays:
    """The rows of a run, or those that stand beside them instead, all of one padded length."""
    arrays = take_rows(split, 2 * ROWS)
    return {name: array[ROWS:] if others else array[:ROWS] for name, array in arrays.items()}


def trials(split: Split) -> Iterator[RowTrial]:
    """What stands beside a row becomes something else: in small runs, and in a larger one."""
    rows = first_rows(split)
    for words, beside in _neighbours(rows, first_rows(split, others=True)):
        for kept in (slice(0, ROWS // 2), slice(ROWS // 2, ROWS)):
            yield RowTrial(beside=words, before=rows, after=_mix(rows, beside, kept), kept=kept)
    yield large_trial(split, MORE_ROWS)


def large_trial(split: Split, count: int) -> RowTrial:
    """What stands beside the first of so many rows becomes one row again and again."""
    rows, kept = take_rows(split, count), slice(1)
    one_row = {name: np.repeat(array[1:2], count, 0) for name, array in rows.items()}
    words = f"other rows in a run of {count}"
    return RowTrial(beside=words, before=rows, after=_mix(rows, one_row, kept), kept=kept)


def _depends_on_place(session: Session, graph: bytes, split: Split, sizes: Sequence[int]) -> bool:
    """Whether a row has another answer at its place in a run of one of these sizes than in a run of its own.
    The largest size is the last."""
    rows = take_rows(split, sizes[-1])
    each = [
        session.run({name: array[row : row + 1] for name, array in rows.items()}) for row in range(sizes[-1])
    ]
    for count in sizes:
        run = {name: array[:count] for name, array in rows.items()}
        together = session.run(run)
        alone = {name: np.concatenate([answers[name] for answers in each[:count]]) for name in together}
        if are_other_answers(graph, run, together, alone):
            return True
    return False


def _find_largest(session: Session, split: Split) -> list[int]:
    """The size of the largest run that the server may make, and for which there is time."""
    rows = take_rows(split, MORE_ROWS)
    start = time.process_time()
    session.run(rows)
    row_s = (time.process_time() - start) / MORE_ROWS
    return [count for count in LARGEST_ROWS if count_rounds(count, row_s, BUDGET_S)][:1]


def take_rows(split: Split, count: int) -> Arrays:
    """So many rows, all of one padded length; a small split is read in circles."""
    return split.take(np.arange(count, dtype=np.int64) % len(split))


def is_another(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Whether what was made of the same row in a run of the same size is no longer the same."""
    return largest_apart(after, before) > _SAME


def _mix(rows: Arrays, beside: Arrays, kept: slice) -> Arrays:
    mixed = {name: array.copy() for name, array in beside.items()}
    for name, array in mixed.items():
        array[kept] = rows[name][kept]
    return mixed


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
