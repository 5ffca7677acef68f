"""Labels whose requests are not known yet, because gateways report requests a little later."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Row, delete, func, insert, select

from serve.rollout.store.label_sums import Told, count_labels
from serve.rollout.store.row_seals import RowSeals
from serve.rollout.store.schema import ANSWERED, HELD

# How long a label waits for its request, and the most waiting labels per model.
PENDING_S = 30.0
_MOST = 100_000


def room_for(seals: RowSeals, model: str, now_s: float) -> int:
    """How many more labels of `model` can wait; expired ones are deleted first."""
    _drop(seals, HELD.c.model == model, HELD.c.told_s < now_s - PENDING_S)
    waiting = seals.connection.execute(select(func.count()).where(HELD.c.model == model)).scalar_one()
    return _MOST - int(waiting)


def hold(seals: RowSeals, rows: Sequence[dict[str, object]]) -> None:
    """Store labels that wait."""
    if rows:
        seals.change(HELD, [], rows)
        seals.connection.execute(insert(HELD), rows)


def settle(seals: RowSeals, model: str) -> bool:
    """Count waiting labels whose requests are known now. Returns whether there were any. The time limit
    applies to when the keeper hears of the request, not to when the store does."""
    connection = seals.connection
    waiting = select(HELD.c.id).where(HELD.c.model == model)
    if connection.execute(waiting.limit(1)).first() is None:
        return False
    query = (
        select(ANSWERED, HELD.c.correct, HELD.c.label)
        .join(HELD, (HELD.c.model == ANSWERED.c.model) & (HELD.c.id == ANSWERED.c.id))
        .where(ANSWERED.c.model == model, HELD.c.told_s >= ANSWERED.c.at_s - PENDING_S)
    )
    rows = list(connection.execute(query))
    right = [(row, correct_by(row, row.correct, row.label)) for row in rows if row.outcome is None]
    counted: list[Told] = [(row, correct, row.label) for row, correct in right if correct is not None]
    count_labels(seals, counted)
    if rows:
        ids = select(ANSWERED.c.id).where(ANSWERED.c.model == model)
        _drop(seals, HELD.c.model == model, HELD.c.id.in_(ids))
    return bool(counted)


def _drop(seals: RowSeals, *where: ColumnElement[bool]) -> None:
    rows = [dict(row) for row in seals.connection.execute(select(HELD).where(*where)).mappings()]
    if rows:
        seals.change(HELD, rows, [])
        seals.connection.execute(delete(HELD).where(*where))


def correct_by(
    answered: Row[tuple[object, ...]], correct: bool | None, label: int | str | None
) -> bool | None:
    """Whether an answer was right, as the client says or by its label. None if the answer had no top class;
    or if the request was in the shadow and has no label, because only a label shows whether the candidate's
    answer was right."""
    if correct is not None:
        return correct if answered.step else None
    return None if answered.top is None else bool(answered.top == label)
