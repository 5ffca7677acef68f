"""LabelSums: how many answers of each second were labelled, and how many of them were wrong.

By the second in which a request was answered, so that it is no matter how labels are posted."""

import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

from sqlalchemy import Connection, Row, bindparam, delete, select, text, update

from serve.rollout.evidence import Events, Pair, Segment
from serve.rollout.schema import ANSWERED, LABELS

# A request as it is remembered, and whether its answer was right.
Told = tuple[Row[tuple[object, ...]], bool]
_TELL = (
    update(ANSWERED)
    .where(ANSWERED.c.model == bindparam("of"), ANSWERED.c.id == bindparam("digest"))
    .values(outcome=bindparam("correct"))
)
_ADD = text(
    "INSERT INTO labels (model, rollout, step, split, sticky, second, baseline, candidate, baseline_wrong, "
    "candidate_wrong) VALUES (:model, :rollout, :step, :split, :sticky, :second, :baseline, :candidate, "
    ":baseline_wrong, :candidate_wrong) ON CONFLICT (model, rollout, step, split, sticky, second) "
    "DO UPDATE SET baseline = labels.baseline + excluded.baseline, "
    "candidate = labels.candidate + excluded.candidate, "
    "baseline_wrong = labels.baseline_wrong + excluded.baseline_wrong, "
    "candidate_wrong = labels.candidate_wrong + excluded.candidate_wrong"
)
_COUNTS = ("baseline", "candidate", "baseline_wrong", "candidate_wrong")


def count_labels(connection: Connection, told: Iterable[Told]) -> None:
    """Remember that these requests are labelled now, and count each in its second."""
    changes, seconds = [], defaultdict[tuple[object, ...], list[int]](lambda: [0] * len(_COUNTS))
    for row, correct in told:
        changes.append({"of": row.model, "digest": row.id, "correct": correct})
        key = (row.model, row.rollout, row.step, row.split, row.sticky, math.floor(row.at_s))
        counts = seconds[key]
        counts[int(row.candidate)] += 1
        counts[2 + int(row.candidate)] += not correct
    if changes:
        names = ("model", "rollout", "step", "split", "sticky", "second", *_COUNTS)
        connection.execute(_TELL, changes)
        rows = [dict(zip(names, (*key, *counts), strict=True)) for key, counts in sorted(seconds.items())]
        connection.execute(_ADD, rows)


def read_labels(connection: Connection, rollout: str) -> tuple[Segment, ...]:
    """All labels of a rollout so far, by the split under which their requests were chosen."""
    key = (LABELS.c.step, LABELS.c.split, LABELS.c.sticky)
    rows = connection.execute(
        select(LABELS).where(LABELS.c.rollout == rollout).order_by(*key, LABELS.c.second)
    )
    groups = groupby(rows, lambda row: (row.step, row.split, bool(row.sticky)))
    return tuple(_segment(*key, list(seconds)) for key, seconds in groups)


def forget_sums(connection: Connection, model: str, rollout: str) -> None:
    """Forget those of all rollouts of `model` but this one."""
    connection.execute(delete(LABELS).where(LABELS.c.model == model, LABELS.c.rollout != rollout))


def _segment(step: int, split: float, sticky: bool, seconds: list[Row[tuple[object, ...]]]) -> Segment:
    return Segment(
        step=step,
        split=split,
        sticky=sticky,
        started_s=seconds[0].second,
        ended_s=seconds[-1].second + 1,
        labelled=Pair(
            baseline=sum(row.baseline for row in seconds), candidate=sum(row.candidate for row in seconds)
        ),
        wrong=Events.ticks([(row.baseline_wrong, row.candidate_wrong) for row in seconds]),
    )
