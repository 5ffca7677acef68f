"""The numbers of labelled and of wrong answers per second.

Labels count in the second in which their request was answered, so it does not matter when they are posted.
Labels of the shadow are summed by class, because there both variants have answered."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, Table, TextClause, bindparam, delete, select, text, update

from serve.rollout.evidence.evidence import Events, Pair, Segment
from serve.rollout.evidence.matched_pairs import MOST_CLASSES, MatchedPairs
from serve.rollout.store.row_seals import RowSeals, fields_of
from serve.rollout.store.schema import ANSWERED, LABELS, MATCHED

# A stored request, whether its answer was right, and its label.
Told = tuple[Row[tuple[object, ...]], bool, int | str | None]
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
_ADD_MATCHED = text(
    "INSERT INTO matched (model, rollout, label, labelled, baseline_alone, candidate_alone, neither) "
    "VALUES (:model, :rollout, :label, :labelled, :baseline_alone, :candidate_alone, :neither) "
    "ON CONFLICT (model, rollout, label) DO UPDATE SET labelled = matched.labelled + excluded.labelled, "
    "baseline_alone = matched.baseline_alone + excluded.baseline_alone, "
    "candidate_alone = matched.candidate_alone + excluded.candidate_alone, "
    "neither = matched.neither + excluded.neither"
)
_COUNTS = ("baseline", "candidate", "baseline_wrong", "candidate_wrong")


def count_labels(seals: RowSeals, labelled: Iterable[Told]) -> None:
    """Store that these requests are labelled, and count each one."""
    labelled = list(labelled)
    seconds = defaultdict[tuple[object, ...], list[int]](lambda: [0] * len(_COUNTS))
    matched = defaultdict[tuple[str, str, int], MatchedPairs](MatchedPairs)
    for row, correct, label in labelled:
        if not row.step:
            assert isinstance(label, int), "a label of the shadow says the class"
            kept = min(label, MOST_CLASSES)
            matched[row.model, row.rollout, kept] += MatchedPairs.one(label, row.top, row.other)
            continue
        key = (row.model, row.rollout, row.step, row.split, row.sticky, math.floor(row.at_s))
        counts = seconds[key]
        counts[int(row.candidate)] += 1
        counts[2 + int(row.candidate)] += not correct
    _tell(seals, labelled)
    names = ("model", "rollout", "step", "split", "sticky", "second", *_COUNTS)
    rows = [dict(zip(names, (*key, *counts), strict=True)) for key, counts in sorted(seconds.items())]
    _add(seals, LABELS, _ADD, rows)
    keys = ({"model": model, "rollout": rollout, "label": label} for model, rollout, label in matched)
    sums = (part.model_dump() for part in matched.values())
    _add(seals, MATCHED, _ADD_MATCHED, [key | part for key, part in zip(keys, sums, strict=True)])


def _tell(seals: RowSeals, labelled: Sequence[Told]) -> None:
    """Store that these requests are labelled."""
    if not labelled:
        return
    before = [fields_of(ANSWERED, row) for row, _, _ in labelled]
    outcomes = ({"outcome": correct} for _, correct, _ in labelled)
    seals.change(ANSWERED, before, [row | change for row, change in zip(before, outcomes, strict=True)])
    changes = [{"of": row.model, "digest": row.id, "correct": correct} for row, correct, _ in labelled]
    seals.connection.execute(_TELL, changes)


def _add(seals: RowSeals, table: Table, statement: TextClause, more: Sequence[dict[str, Any]]) -> None:
    """Add these rows to those with the same keys."""
    if not more:
        return
    keys = [column.name for column in table.primary_key]
    *_, narrow = table.primary_key
    mine = (table.c.model == more[0]["model"], narrow.in_({row[narrow.name] for row in more}))
    known = {
        tuple(row[name] for name in keys): dict(row)
        for row in seals.connection.execute(select(table).where(*mine)).mappings()
    }
    old = [known.get(tuple(row[name] for name in keys)) for row in more]
    new = [
        row if before is None else row | {name: before[name] + row[name] for name in row if name not in keys}
        for before, row in zip(old, more, strict=True)
    ]
    seals.change(table, [before for before in old if before is not None], new)
    seals.connection.execute(statement, more)


def read_labels(connection: Connection, rollout: str) -> tuple[Segment, ...]:
    """All labels of a rollout so far, by the split that chose their requests."""
    key = (LABELS.c.step, LABELS.c.split, LABELS.c.sticky)
    rows = connection.execute(
        select(LABELS).where(LABELS.c.rollout == rollout).order_by(*key, LABELS.c.second)
    )
    groups = groupby(rows, lambda row: (row.step, row.split, bool(row.sticky)))
    return tuple(_segment(*key, list(seconds)) for key, seconds in groups)


def read_matched(connection: Connection, rollout: str) -> dict[int, MatchedPairs]:
    """All labels of a rollout's shadow so far, by class."""
    rows = connection.execute(select(MATCHED).where(MATCHED.c.rollout == rollout).order_by(MATCHED.c.label))
    return {
        row.label: MatchedPairs(**{name: getattr(row, name) for name in MatchedPairs.model_fields})
        for row in rows
    }


def forget_sums(connection: Connection, model: str, rollout: str) -> None:
    """Delete the sums of all rollouts of `model` except this one."""
    for table in (LABELS, MATCHED):
        connection.execute(delete(table).where(table.c.model == model, table.c.rollout != rollout))


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
