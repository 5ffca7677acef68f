"""Store: what one keeper writes down, so that a kill at any moment loses nothing that was decided.

A step is one row of the trail: the verdict, the rollout and the routes after it cannot come apart, and
nothing else says what is in force. Several keepers may read; the one with the lease writes.

Entries and evidence are sealed with a key that lies outside, beside an anchor that says how far each trail
has come. Whoever reads a trail to go on from it uses `recall`, which looks at both."""

import logging
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, update

from serve.base.errors import InvalidRecord, StaleRevision
from serve.rollout.evidence.evidence import Evidence, Segment
from serve.rollout.evidence.matched import Matched
from serve.rollout.state.feedback import Feedback, Outcome
from serve.rollout.store.answered_requests import Answered
from serve.rollout.store.audit import audit, evidence_text
from serve.rollout.store.label_sums import read_labels, read_matched
from serve.rollout.store.label_totals import Running, join_labels
from serve.rollout.store.lease import Lease, Writer, lease_of
from serve.rollout.store.row_seals import RowSeals
from serve.rollout.store.schema import EVIDENCE, TRAIL, open_engine, transaction
from serve.rollout.store.store_reader import Present as Present  # noqa: PLC0414  who has a store finds it here
from serve.rollout.store.store_reader import StoreReader, last_of
from serve.rollout.trail.anchor import Anchor, TrailEnd, unanchored
from serve.rollout.trail.seal_key import SealKey, key_path, open_key
from serve.rollout.trail.trail import Action, Change, Entry, seal

_log = logging.getLogger("counterweight.trail")


class Store(StoreReader):
    """One open store. Its methods wait for the database and may be called from any thread; all raise
    StoreFailed, and those that write raise LostLease until `renew` has said True."""

    def __init__(self, url: str, keeper: str, seal_key: Path | None = None) -> None:
        """Open, and if need be make or migrate, the store at `url`. `seal_key`: the file of its key, which is
        made if need be; without, it lies beside a SQLite file, and PostgreSQL has none.

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
        # Which variant was chosen for a request, and what is known of its answer.
        self.answered = Answered(self._writer, self.key)

    def close(self) -> None:
        """Let go of the lease and of the database."""
        self._writer.release()
        self._engine.dispose()

    def renew(self, now_s: float) -> bool:
        """Take the lease, or keep it, for LEASE_S more. False: another keeper has it."""
        return self._writer.renew(now_s)

    @property
    def rival(self) -> bool:
        """Whether another keeper has the lease, and was alive when `renew` was last refused."""
        return self._writer.rival

    def lease(self) -> Lease:
        """Who acts."""
        with transaction(self._engine) as connection:
            return lease_of(connection)

    def recall(self, model: str) -> tuple[Present | None, tuple[Entry, ...], tuple[str, ...]]:
        """What is in force for `model` (None: it cannot be read), its trail, and what is wrong with it."""
        # Before the trail, which may only be longer then.
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
        """A key was made for a store that has entries: what an older program wrote without one is taken as it
        is, once."""
        assert self.anchor is not None
        for model in self.models():
            last = self.trail(model)[-1]
            _log.warning(
                "%s: a new key was made, and there are %d entries that it has not sealed: whether they are "
                "what was written cannot be told",
                model,
                last.number,
            )
            if ":" not in last.digest and self.anchor.last(model) is None:
                self.anchor.add(TrailEnd(model=model, number=last.number, digest=last.digest))

    def keep(self, rollout: str, evidence: Evidence, now_s: float) -> None:
        """Replace what `rollout` has seen so far. Raises LostLease."""
        with self._writer.writing(now_s) as connection:
            _replace(connection, rollout, evidence, self.key)

    def learn(
        self, model: str, outcomes: Sequence[Outcome], running: Running | None, now_s: float
    ) -> Feedback:
        """Join outcomes to the requests of the rollout `running`; None: none runs. Raises LostLease."""
        with self._writer.writing(now_s) as connection:
            return join_labels(RowSeals(connection, self.key), model, outcomes, running, now_s)

    def matched(self, rollout: str) -> dict[int, Matched]:
        """All labels of the shadow of `rollout` so far, by the class that they say."""
        with transaction(self._engine) as connection:
            return read_matched(connection, rollout)

    def labels(self, rollout: str) -> tuple[Segment, ...]:
        """All labels of `rollout` so far."""
        with transaction(self._engine) as connection:
            return read_labels(connection, rollout)

    def append(
        self, change: Change, after: int, now_s: float | None = None, evidence: Evidence | None = None
    ) -> Entry:
        """Write one step, decided on what `read` gave with the number `after`; its entry. `now_s`: it was
        decided earlier. `evidence`: there is more by now than the verdict was computed from.

        Raises StaleRevision when something was written since, and LostLease."""
        with self._writer.writing(change.at_s if now_s is None else now_s) as connection:
            last = last_of(connection, TRAIL.c.model == change.model)
            number = last.number if last else 0
            if after != number:
                raise StaleRevision(
                    f"{change.model}: entry {after} came, {number} is the current one; "
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
    """Revisions rise, or a gateway could take old routes for new ones. Raises StaleRevision."""
    if change.routes is None:
        return
    routed = last_of(connection, TRAIL.c.model == change.model, TRAIL.c.revision.is_not(None))
    current = routed.revision if routed else None
    if current is not None and change.routes.revision <= current:
        raise StaleRevision(
            f"{change.model}: routes with revision {change.routes.revision} came, {current} is in force; "
            "read them and decide again",
            current,
        )


def _replace(connection: Connection, rollout: str, evidence: Evidence, key: SealKey | None) -> None:
    content = evidence.model_dump_json()
    sealed = None if key is None else key.seal(evidence_text(rollout, content))
    connection.execute(delete(EVIDENCE).where(EVIDENCE.c.rollout == rollout))
    connection.execute(insert(EVIDENCE).values(rollout=rollout, content=content, seal=sealed))


def _seal_older(connection: Connection, rollout: str, key: SealKey) -> None:
    """Evidence of a program that knew no key, before the first entry that has one speaks for it."""
    mine = (EVIDENCE.c.rollout == rollout, EVIDENCE.c.seal.is_(None))
    content = connection.execute(select(EVIDENCE.c.content).where(*mine)).scalar_one_or_none()
    if content is not None:
        sealed = key.seal(evidence_text(rollout, content))
        connection.execute(update(EVIDENCE).where(*mine).values(seal=sealed))
