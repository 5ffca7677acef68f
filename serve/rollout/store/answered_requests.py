"""Answered requests with their chosen variants, for labels that come later."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, text

from serve.rollout.store.label_sums import forget_sums
from serve.rollout.store.lease import Writer
from serve.rollout.store.pending_labels import settle
from serve.rollout.store.row_seals import Fields, RowSeals
from serve.rollout.store.schema import ANSWERED
from serve.rollout.trail.seal_key import SealKey

# The number of remembered requests per model; beyond it, the oldest hundredth is deleted.
KEPT = 1_000_000
# Ids per statement.
_AT_ONCE = 1000
# A repeated id is a new request, unless the same row was sent twice.
_NOTE = text(
    "INSERT INTO answered (model, id, rollout, step, split, sticky, candidate, at_s, top, other) "
    "VALUES (:model, :id, :rollout, :step, :split, :sticky, :candidate, :at_s, :top, :other) "
    "ON CONFLICT (model, id) DO UPDATE SET rollout = excluded.rollout, step = excluded.step, "
    "split = excluded.split, sticky = excluded.sticky, candidate = excluded.candidate, "
    "at_s = excluded.at_s, top = excluded.top, other = excluded.other, outcome = NULL "
    "WHERE excluded.at_s > answered.at_s"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnsweredRequest:
    """One request of a rollout, and its segment."""

    request_id: str
    rollout: str
    step: int
    # The candidate's configured share at that time, 0 to 1; and whether a key decided.
    split: float
    sticky: bool
    # Whether the candidate was chosen, whichever variant answered.
    candidate: bool
    # Seconds since 1970.
    at_s: float
    # The top class of the answer. None: it had none, or several rows.
    top: int | None = None
    # For a request of the shadow (step 0): the top class of the candidate's answer.
    other: int | None = None


class AnsweredRequests:
    """The requests that may be labelled. The methods raise StoreFailed and LostLease."""

    def __init__(self, writer: Writer, key: SealKey | None) -> None:
        self._writer = writer
        self._key = key
        # Model -> the number of requests added since old ones were last deleted.
        self._noted: defaultdict[str, int] = defaultdict(lambda: KEPT)

    def note(self, model: str, answers: Sequence[AnsweredRequest], now_s: float) -> bool:
        """Remember requests. A repeated id stands for the newer request. Returns whether labels that were
        waiting for these requests have been counted."""
        if not answers:
            return False
        with self._writer.writing(now_s) as connection:
            seals = RowSeals(connection, self._key)
            _note(seals, [_row(model, answer) for answer in answers])
            noted = self._noted[model] + len(answers)
            slack = KEPT // 100
            if forget := noted >= slack:
                _forget(seals, model, KEPT - slack)
                forget_sums(connection, model, answers[-1].rollout)
            labelled = settle(seals, model)
        # Only after the transaction.
        self._noted[model] = 0 if forget else noted
        return labelled


def digest_of(request_id: str) -> bytes:
    """The 16 bytes that stand for an id, so that ids of clients are not stored."""
    return hashlib.blake2b(request_id.encode(), digest_size=16).digest()


def _row(model: str, answer: AnsweredRequest) -> dict[str, Any]:
    return {
        "model": model,
        "id": digest_of(answer.request_id),
        "rollout": answer.rollout,
        "step": answer.step,
        "split": answer.split,
        "sticky": answer.sticky,
        "candidate": answer.candidate,
        "at_s": answer.at_s,
        "top": answer.top,
        "other": answer.other,
        "outcome": None,
    }


def _note(seals: RowSeals, rows: Sequence[dict[str, Any]]) -> None:
    known: dict[bytes, Fields] = {}
    for start in range(0, len(rows), _AT_ONCE):
        ids = [row["id"] for row in rows[start : start + _AT_ONCE]]
        query = select(ANSWERED).where(ANSWERED.c.model == rows[0]["model"], ANSWERED.c.id.in_(ids))
        known |= {bytes(row["id"]): dict(row) for row in seals.connection.execute(query).mappings()}
    newest: dict[bytes, Fields] = {}
    for row in rows:
        before = newest.get(row["id"]) or known.get(row["id"])
        if before is None or row["at_s"] > before["at_s"]:
            newest[row["id"]] = row
    seals.change(ANSWERED, [known[each] for each in newest if each in known], newest.values())
    seals.connection.execute(_NOTE, rows)


def _forget(seals: RowSeals, model: str, kept: int) -> None:
    """Delete everything older than the newest `kept` requests."""
    of_model = ANSWERED.c.model == model
    newest = select(ANSWERED.c.at_s).where(of_model).order_by(ANSWERED.c.at_s.desc())
    oldest_s = seals.connection.execute(newest.offset(kept).limit(1)).scalar_one_or_none()
    if oldest_s is not None:
        old = (of_model, ANSWERED.c.at_s <= oldest_s)
        expired = seals.connection.execute(select(ANSWERED).where(*old)).mappings()
        seals.change(ANSWERED, [dict(row) for row in expired], [])
        seals.connection.execute(delete(ANSWERED).where(*old))
