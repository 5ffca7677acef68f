"""Answered: which variant was chosen for which request, so that what is learnt later counts for it."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, text

from serve.rollout.store.held import settle
from serve.rollout.store.label_sums import forget_sums
from serve.rollout.store.lease import Writer
from serve.rollout.store.row_seals import Fields, RowSeals
from serve.rollout.store.schema import ANSWERED
from serve.rollout.trail.seal_key import SealKey

# So many requests of a model are remembered; beyond that the oldest are forgotten, a hundredth at a time.
KEPT = 1_000_000
# Ids that are looked up in one statement.
_AT_ONCE = 1000
# An id that comes again is a new request, unless it is the same row that was sent twice.
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
    """One request of a rollout, and the segment that it counts in."""

    request_id: str
    rollout: str
    step: int
    # The candidate's share asked when the variant was chosen, 0 to 1; sticky: by a key.
    split: float
    sticky: bool
    # Whether the candidate was chosen; whoever answered.
    candidate: bool
    # Seconds since 1970.
    at_s: float
    # The class that was on top of the answer. None: it had none, or several rows.
    top: int | None = None
    # Of a request of the shadow, which has step 0: the class on top of the candidate's answer to it.
    other: int | None = None


class Answered:
    """The requests that feedback may come for. Its methods raise StoreFailed and LostLease."""

    def __init__(self, writer: Writer, key: SealKey | None) -> None:
        self._writer = writer
        self._key = key
        # Model -> how many were noted since it was last looked for old ones.
        self._noted: defaultdict[str, int] = defaultdict(lambda: KEPT)

    def note(self, model: str, answers: Sequence[AnsweredRequest], now_s: float) -> bool:
        """Remember requests. An id that was there means the newer request from now on. Whether there are more
        labels now, because some had been waiting for these requests."""
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
        # Only now that it is written.
        self._noted[model] = 0 if forget else noted
        return labelled


def digest_of(request_id: str) -> bytes:
    """The 16 bytes that stand for an id; what a client calls its requests is nobody's business."""
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
        found = select(ANSWERED).where(ANSWERED.c.model == rows[0]["model"], ANSWERED.c.id.in_(ids))
        known |= {bytes(row["id"]): dict(row) for row in seals.connection.execute(found).mappings()}
    newest: dict[bytes, Fields] = {}
    for row in rows:
        before = newest.get(row["id"]) or known.get(row["id"])
        if before is None or row["at_s"] > before["at_s"]:
            newest[row["id"]] = row
    seals.change(ANSWERED, [known[each] for each in newest if each in known], newest.values())
    seals.connection.execute(_NOTE, rows)


def _forget(seals: RowSeals, model: str, kept: int) -> None:
    """Delete what is older than the newest `kept`."""
    mine = ANSWERED.c.model == model
    newest = select(ANSWERED.c.at_s).where(mine).order_by(ANSWERED.c.at_s.desc())
    oldest_s = seals.connection.execute(newest.offset(kept).limit(1)).scalar_one_or_none()
    if oldest_s is not None:
        old = (mine, ANSWERED.c.at_s <= oldest_s)
        gone = seals.connection.execute(select(ANSWERED).where(*old)).mappings()
        seals.change(ANSWERED, [dict(row) for row in gone], [])
        seals.connection.execute(delete(ANSWERED).where(*old))
