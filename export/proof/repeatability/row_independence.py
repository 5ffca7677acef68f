"""Checks whether a variant's answer to a row depends on the other rows in the run.

The server combines rows of different clients in one run. A graph that mixes them (a range or statistics of
the whole batch, attention or a Softmax over it) would make the answer to one client depend on another's
request."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.answer_distance import largest_apart
from export.data.datasets import Split
from export.proof.repeatability.run_tolerance import are_other_answers
from export.proof.repeatability.text_padding import depends_on_padding
from export.proof.rounds import BUDGET_S, count_rounds
from serve.base.errors import ModelFailed
from serve.base.tensor import Arrays
from serve.bundles.onnx_graph import Graph
from serve.engine.session import Session

# Rows in a run. One half is changed, and the answers to the other half are compared. Some graphs mix rows
# only in larger runs.
ROWS, MORE_ROWS = 4, 16
# The largest of these for which there is time is tried as well. The server makes no batch that is larger than
# the largest measured one.
LARGEST_ROWS = (64, 32)
# Factor of an extreme row, which a client may send by mistake.
_EXTREME = 1e4
# Tolerance relative to the usual size in each place. In runs of one size, each row is computed identically,
# unless rows mix.
_SAME = 1e-5
# The cause if it is not the content of the other rows.
NUMBER, PADDING = "their number, or a row's place among them,", "padding"
NAN = "rows of NaN"


@dataclass(frozen=True, kw_only=True)
class RowTrial:
    """Two runs with the same number of rows, of which some rows are equal."""

    # What the other rows become.
    beside: str
    before: Arrays
    after: Arrays
    kept: slice


def find_dependence(session: Session, graph: Graph, split: Split) -> str | None:
    """Return what changes the answer to a real row of `split`: other rows, extreme ones, NaN, their number or
    the row's place among them, or the padding of a text to their length; None if nothing does."""
    if not session.signature.batches:
        return None
    largest = _find_largest(session, split)
    for trial in (*trials(split), *(large_trial(split, count) for count in largest)):
        before = session.run(trial.before)
        try:
            after = session.run(trial.after)
        except ModelFailed:
            # In this case, the server runs each row separately.
            continue
        if any(is_another(before[name][trial.kept], after[name][trial.kept]) for name in before):
            return trial.beside
    if _depends_on_place(session, graph, split, (ROWS, MORE_ROWS, *largest)):
        return NUMBER
    return PADDING if depends_on_padding(session, graph, split) else None


def first_rows(split: Split, others: bool = False) -> Arrays:
    """Return the rows of a run, or the rows that replace the others, all padded to one length."""
    arrays = take_rows(split, 2 * ROWS)
    return {name: array[ROWS:] if others else array[:ROWS] for name, array in arrays.items()}


def trials(split: Split) -> Iterator[RowTrial]:
    """Yield trials in which the other rows change, in small runs and in a larger one."""
    rows = first_rows(split)
    for words, beside in _neighbours(rows, first_rows(split, others=True)):
        for kept in (slice(0, ROWS // 2), slice(ROWS // 2, ROWS)):
            yield RowTrial(beside=words, before=rows, after=_mix(rows, beside, kept), kept=kept)
    yield large_trial(split, MORE_ROWS)


def large_trial(split: Split, count: int) -> RowTrial:
    """Return a trial in which the rows after the first become copies of one row."""
    rows, kept = take_rows(split, count), slice(1)
    one_row = {name: np.repeat(array[1:2], count, 0) for name, array in rows.items()}
    words = f"other rows in a run of {count}"
    return RowTrial(beside=words, before=rows, after=_mix(rows, one_row, kept), kept=kept)


def _depends_on_place(session: Session, graph: Graph, split: Split, sizes: Sequence[int]) -> bool:
    """Whether the answer to a row in its own run differs from the answer at its place in a run of one of
    these sizes. The last size is the largest."""
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
    """Return the size of the largest run that the server may make, if there is time for it."""
    rows = take_rows(split, MORE_ROWS)
    start = time.process_time()
    session.run(rows)
    row_s = (time.process_time() - start) / MORE_ROWS
    return [count for count in LARGEST_ROWS if count_rounds(count, row_s, BUDGET_S)][:1]


def take_rows(split: Split, count: int) -> Arrays:
    """Return this number of rows, all of one shape or padded to one length; rows of a small split are
    repeated."""
    return split.take_like(count)


def is_another(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Whether the answer to the same row, in a run of the same size, changed."""
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
        # In half precision this is infinite, which also counts as extreme.
        with np.errstate(over="ignore"):
            extreme = {
                name: (array.astype(np.float64) * _EXTREME).astype(array.dtype)
                for name, array in floats.items()
            }
        yield f"rows {_EXTREME:g} times as large", {**rows, **extreme}
        nan = {name: np.full_like(array, np.nan) for name, array in floats.items()}
        yield NAN, {**rows, **nan}
