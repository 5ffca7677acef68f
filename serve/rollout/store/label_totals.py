"""Match labels with their requests."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Row, select

from serve.rollout.state.feedback import Feedback, Outcome
from serve.rollout.store.answered_requests import digest_of
from serve.rollout.store.label_sums import Told, count_labels
from serve.rollout.store.pending_labels import correct_by, hold, room_for
from serve.rollout.store.row_seals import RowSeals
from serve.rollout.store.schema import ANSWERED, HELD

_Rows = Mapping[bytes, Row[tuple[object, ...]]]


class Running(NamedTuple):
    """The rollout in progress, and whether its policy uses labels."""

    rollout: str
    asks: bool


def join_labels(
    seals: RowSeals, model: str, outcomes: Sequence[Outcome], running: Running | None, now_s: float
) -> Feedback:
    """Match each label with its request, once; labels of unknown requests wait. `running` is None if no
    rollout is in progress."""
    digests = [digest_of(outcome.request_id) for outcome in outcomes]
    known = _find(seals.connection, model, digests)
    room = room_for(seals, model, now_s) if running and running.asks else 0
    seen = _held(seals.connection, model, digests) if room else set()
    ids_by_fate: dict[str, list[str]] = {"double": [], "late": [], "unknown": [], "held": [], "no_class": []}
    counted: list[Told] = []
    waiting: list[dict[str, object]] = []
    for outcome, digest in zip(outcomes, digests, strict=True):
        row = known.get(digest)
        if digest in seen or (row is not None and row.outcome is not None):
            ids_by_fate["double"].append(outcome.request_id)
        elif row is None and len(waiting) >= room:
            ids_by_fate["unknown"].append(outcome.request_id)
        elif row is None:
            ids_by_fate["held"].append(outcome.request_id)
            waiting.append(_waiting(model, digest, outcome, now_s))
            seen.add(digest)
        elif running is None or row.rollout != running.rollout:
            ids_by_fate["late"].append(outcome.request_id)
        elif (correct := correct_by(row, outcome.correct, outcome.label)) is None:
            ids_by_fate["no_class"].append(outcome.request_id)
        else:
            counted.append((row, correct, outcome.label))
            seen.add(digest)
    count_labels(seals, counted)
    hold(seals, waiting)
    return Feedback.model_validate({"counted": len(counted), **ids_by_fate})


def _find(connection: Connection, model: str, digests: list[bytes]) -> _Rows:
    rows = select(ANSWERED).where(ANSWERED.c.model == model, ANSWERED.c.id.in_(digests))
    return {bytes(row.id): row for row in connection.execute(rows)}


def _held(connection: Connection, model: str, digests: list[bytes]) -> set[bytes]:
    ids = select(HELD.c.id).where(HELD.c.model == model, HELD.c.id.in_(digests))
    return {bytes(each) for each in connection.execute(ids).scalars()}


def _waiting(model: str, digest: bytes, outcome: Outcome, now_s: float) -> dict[str, object]:
    return {
        "model": model,
        "id": digest,
        "correct": outcome.correct,
        "label": outcome.label,
        "told_s": now_s,
    }
