"""The store that one keeper writes, so that a crash at any moment loses no decision.

A step is one row of the trail, with the verdict, the rollout and the routes after it; nothing else defines
the state. Several keepers may read; the one with the lease writes.

Entries and evidence are sealed with a key outside of the store. The anchor beside the key has the last entry
of each trail. To continue a trail, read it with `recall`, which checks both."""

import logging
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, update

from serve.base.errors import InvalidRecord, StaleRevision
from serve.rollout.evidence.evidence import Evidence, Segment
from serve.rollout.evidence.matched_pairs import MatchedPairs
from serve.rollout.state.feedback import Feedback, Outcome
from serve.rollout.store.answered_requests import AnsweredRequests
from serve.rollout.store.audit import audit, evidence_text
from serve.rollout.store.label_sums import read_labels, read_matched
from serve.rollout.store.label_totals import Running, join_labels
from serve.rollout.store.lease import Lease, Writer, lease_of
from serve.rollout.store.row_seals import RowSeals
from serve.rollout.store.schema import EVIDENCE, TRAIL, open_engine, transaction
from serve.rollout.store.store_reader import Present as Present  # noqa: PLC0414 - part of this interface
from serve.rollout.store.store_reader import StoreReader, last_of
from serve.rollout.trail.anchor import Anchor, TrailEnd, unanchored
from serve.rollout.trail.seal_key import SealKey, key_path, open_key
from serve.rollout.trail.trail import Action, Change, Entry, seal

_log = logging.getLogger("counterweight.trail")


class Store(StoreReader):
    """One open store. Its methods wait for the database and can be called from any thread; all raise
    StoreFailed, and those that write raise LostLease until `renew` has returned True."""

    def __init__(self, url: str, keeper: str, seal_key: Path | None = None) -> None:
        """Open, create or migrate the store at `url`. `seal_key` is the file of its key, which is created if
        it is missing; by default it is beside a SQLite file, and PostgreSQL has no key.

        Raises InvalidRecord and StoreFailed."""
        super().__init__(open_engine(url))
        self._writer = Writer(self._engine, keeper)
        self.keeper = self._writer.keeper
        path = seal_key or key_path(url)
        self.anchor = None if path is None else Anchor(path.with_suffix(".anchor"))
        try:
            made = path is not None and not path.exists()
            self.key = None if path is None else open_key(path, make=True)
            if made:
                self._anchor_older()
        except BaseException:
            self._engine.dispose()
            raise
        # Answered requests and their labels.
        self.answered = AnsweredRequests(self._writer, self.key)
        self._closed = False

    def close(self) -> None:
        """Release the lease and close the database. A second call writes nothing."""
        if not self._closed:
            self._closed = True
            self._writer.release()
        self._engine.dispose()

    def renew(self, now_s: float) -> bool:
        """Take or keep the lease for LEASE_S. Returns False if another keeper has it."""
        return self._writer.renew(now_s)

    @property
    def rival(self) -> bool:
        """Whether another keeper has the lease, and was alive at the last refused `renew`."""
        return self._writer.rival

    def lease(self) -> Lease:
        """The present lease."""
        with transaction(self._engine) as connection:
            return lease_of(connection)

    def recall(self, model: str) -> tuple[Present | None, tuple[Entry, ...], tuple[str, ...]]:
        """The state of `model` (None if it cannot be read), its trail, and the faults of the trail."""
        # Read before the trail, which can only be longer then.
        last = None if self.anchor is None else self.anchor.last(model)
        accepted = None if self.anchor is None else self.anchor.accepted(model)
        present: Present | None = None
        unreadable: tuple[str, ...] = ()
        try:
            present = self.read(model)
        except InvalidRecord as error:
            unreadable = (str(error),)
        trail = self.trail(model)
        faults = audit(trail, self.rows(model), last, accepted, self.key) or unreadable
        faults = faults or self.label_faults(model, trail, accepted, self.key)
        if self.anchor and trail and not faults and (last is None or last.number < trail[-1].number):
            if last is None:
                _log.warning("%s", unanchored(self.anchor, model, len(trail)))
            self.anchor.add(TrailEnd(model=model, number=trail[-1].number, digest=trail[-1].digest))
        return present, trail, faults

    def _anchor_older(self) -> None:
        """Add the entries of an older program to the anchor, once, when a key is created for a store that has
        entries."""
        assert self.anchor is not None
        for model in self.models():
            last = self.trail(model)[-1]
            _log.warning(
                "%s: a new key was created, and %d entries are not sealed with it: changes to them cannot be "
                "detected",
                model,
                last.number,
            )
            if ":" not in last.digest and self.anchor.last(model) is None:
                self.anchor.add(TrailEnd(model=model, number=last.number, digest=last.digest))

    def keep(self, rollout: str, evidence: Evidence, now_s: float) -> None:
        """Replace the evidence of `rollout`. Raises LostLease."""
        with self._writer.writing(now_s) as connection:
            _replace(connection, rollout, evidence, self.key)

    def learn(
        self, model: str, outcomes: Sequence[Outcome], running: Running | None, now_s: float
    ) -> Feedback:
        """Match labels with requests of the rollout `running`; None: no rollout. Raises LostLease."""
        with self._writer.writing(now_s) as connection:
            return join_labels(RowSeals(connection, self.key), model, outcomes, running, now_s)

    def matched(self, rollout: str) -> dict[int, MatchedPairs]:
        """All labels of the shadow of `rollout` so far, by class."""
        with transaction(self._engine) as connection:
            return read_matched(connection, rollout)

    def labels(self, rollout: str) -> tuple[Segment, ...]:
        """All labels of `rollout` so far."""
        with transaction(self._engine) as connection:
            return read_labels(connection, rollout)

    def append(
        self, change: Change, after: int, now_s: float | None = None, evidence: Evidence | None = None
    ) -> Entry:
        """Write one step that was decided after the entry `after`. Returns the new entry. `now_s` is set if
        the decision is older, `evidence` if there is more than at the verdict.

        Raises StaleRevision if another entry was written since, and LostLease."""
        with self._writer.writing(change.at_s if now_s is None else now_s) as connection:
            last = last_of(connection, TRAIL.c.model == change.model)
            number = last.number if last else 0
            if after != number:
                raise StaleRevision(
                    f"{change.model}: the change is based on entry {after}, but the last entry is {number}; "
                    "read it and decide again",
                    number,
                )
            _refuse_old_routes(connection, change)
            if change.action is Action.START and change.rollout is not None:
                RowSeals(connection, self.key).begin(change.model, change.rollout.rollout)
                change = change.model_copy(update={"rows_sealed": self.key is not None})
            entry = seal(change, number + 1, last.digest if last else "", self.key)
            connection.execute(insert(TRAIL).values(**entry.model_dump()))
            if change.rollout is not None and change.judged is not None:
                _replace(connection, change.rollout.rollout, evidence or change.judged.evidence, self.key)
            elif change.rollout is not None and change.carried is not None:
                _replace(connection, change.rollout.rollout, Evidence(carried=change.carried), self.key)
            elif entry.rollout is not None and self.key is not None:
                _seal_older(connection, entry.rollout, self.key)
        if self.anchor is not None:
            self.anchor.add(TrailEnd(model=entry.model, number=entry.number, digest=entry.digest))
        return entry


def _refuse_old_routes(connection: Connection, change: Change) -> None:
    """Revisions must rise, so that gateways never use old routes. Raises StaleRevision."""
    if change.routes is None:
        return
    routed = last_of(connection, TRAIL.c.model == change.model, TRAIL.c.revision.is_not(None))
    current = routed.revision if routed else None
    if current is not None and change.routes.revision <= current:
        raise StaleRevision(
            f"{change.model}: the routes have revision {change.routes.revision}, but {current} is in force; "
            "read them and decide again",
            current,
        )


def _replace(connection: Connection, rollout: str, evidence: Evidence, key: SealKey | None) -> None:
    content = evidence.model_dump_json()
    sealed = None if key is None else key.seal(evidence_text(rollout, content))
    connection.execute(delete(EVIDENCE).where(EVIDENCE.c.rollout == rollout))
    connection.execute(insert(EVIDENCE).values(rollout=rollout, content=content, seal=sealed))


def _seal_older(connection: Connection, rollout: str, key: SealKey) -> None:
    """Seal the evidence of an older program without a key, before the first entry with a key."""
    unsealed = (EVIDENCE.c.rollout == rollout, EVIDENCE.c.seal.is_(None))
    content = connection.execute(select(EVIDENCE.c.content).where(*unsealed)).scalar_one_or_none()
    if content is not None:
        sealed = key.seal(evidence_text(rollout, content))
        connection.execute(update(EVIDENCE).where(*unsealed).values(seal=sealed))
