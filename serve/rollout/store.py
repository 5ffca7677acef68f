"""Store: what one keeper writes down, so that a kill at any moment loses nothing that was decided.

A step is one row of the trail: the verdict, the rollout and the routes after it cannot come apart, and
nothing else says what is in force. Several keepers may read; the one with the lease writes."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from serve.errors import StaleRevision, UnknownRollout
from serve.record import Record
from serve.rollout.answered import Answered
from serve.rollout.evidence import Evidence, Segment
from serve.rollout.feedback import Feedback, Outcome
from serve.rollout.label_sums import read_labels
from serve.rollout.labels import Running, join_labels
from serve.rollout.lease import Lease, Writer, lease_of
from serve.rollout.rollout import Rollout
from serve.rollout.schema import EVIDENCE, TRAIL, open_engine, transaction
from serve.rollout.trail import Change, Entry, seal
from serve.routing import Routes


class Present(Record):
    """What is in force for one model."""

    # The trail's last entry; 0: nothing was ever written.
    number: int
    # None: there never were any.
    routes: Routes | None
    # The last one, over or not, and what it has seen so far.
    rollout: Rollout | None
    evidence: Evidence


class Store:
    """One open store. Its methods wait for the database and may be called from any thread; all raise
    StoreFailed, and those that write raise LostLease until `renew` has said True."""

    def __init__(self, url: str, keeper: str) -> None:
        """Open, and if need be make or migrate, the store at `url`. Raises InvalidRecord and StoreFailed."""
        self._engine = open_engine(url)
        self._writer = Writer(self._engine, keeper)
        self.keeper = self._writer.keeper
        # Which variant was chosen for a request, and what is known of its answer.
        self.answered = Answered(self._writer)

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

    def models(self) -> tuple[str, ...]:
        """Every model that was ever written of, by name."""
        with transaction(self._engine) as connection:
            names = select(TRAIL.c.model).distinct().order_by(TRAIL.c.model)
            return tuple(connection.execute(names).scalars())

    def read(self, model: str) -> Present:
        """What is in force for `model`."""
        with transaction(self._engine) as connection:
            # First, so that whatever is written meanwhile makes it stale.
            last = _last(connection, TRAIL.c.model == model)
            routed = _last(connection, TRAIL.c.model == model, TRAIL.c.revision.is_not(None))
            rolled = _last(connection, TRAIL.c.model == model, TRAIL.c.rollout.is_not(None))
            seen = select(EVIDENCE.c.content).where(EVIDENCE.c.rollout == (rolled and rolled.rollout))
            evidence = connection.execute(seen).scalar_one_or_none()
        return Present(
            number=last.number if last else 0,
            routes=routed.change.routes if routed else None,
            rollout=rolled.change.rollout if rolled else None,
            evidence=Evidence.model_validate_json(evidence) if evidence else Evidence(),
        )

    def trail(self, model: str, after: int = 0, most: int | None = None) -> tuple[Entry, ...]:
        """Everything that was done to `model` after the entry of that number, oldest first; `most`: and no
        more entries than that."""
        rows = select(TRAIL).where(TRAIL.c.model == model, TRAIL.c.number > after).order_by(TRAIL.c.number)
        with transaction(self._engine) as connection:
            return tuple(_entry(row) for row in connection.execute(rows.limit(most)))

    def model_of(self, rollout: str) -> str:
        """The model that `rollout` is of. Raises UnknownRollout."""
        with transaction(self._engine) as connection:
            entry = _last(connection, TRAIL.c.rollout == rollout)
        if entry is None:
            raise UnknownRollout(f"no rollout {rollout!r} in the store; `history` lists those of a model")
        return entry.model

    def keep(self, rollout: str, evidence: Evidence, now_s: float) -> None:
        """Replace what `rollout` has seen so far. Raises LostLease."""
        with self._writer.writing(now_s) as connection:
            _replace(connection, rollout, evidence)

    def learn(
        self, model: str, outcomes: Sequence[Outcome], running: Running | None, now_s: float
    ) -> Feedback:
        """Join outcomes to the requests of the rollout `running`; None: none runs. Raises LostLease."""
        with self._writer.writing(now_s) as connection:
            return join_labels(connection, model, outcomes, running, now_s)

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
            last = _last(connection, TRAIL.c.model == change.model)
            number = last.number if last else 0
            if after != number:
                raise StaleRevision(
                    f"{change.model}: entry {after} came, {number} is the current one; "
                    "read it and decide again",
                    number,
                )
            _refuse_old_routes(connection, change)
            entry = seal(change, number + 1, last.digest if last else "")
            connection.execute(insert(TRAIL).values(**entry.model_dump()))
            if change.rollout is not None and change.judged is not None:
                _replace(connection, change.rollout.rollout, evidence or change.judged.evidence)
        return entry


def _refuse_old_routes(connection: Connection, change: Change) -> None:
    """Revisions rise, or a gateway could take old routes for new ones. Raises StaleRevision."""
    if change.routes is None:
        return
    routed = _last(connection, TRAIL.c.model == change.model, TRAIL.c.revision.is_not(None))
    current = routed.revision if routed else None
    if current is not None and change.routes.revision <= current:
        raise StaleRevision(
            f"{change.model}: routes with revision {change.routes.revision} came, {current} is in force; "
            "read them and decide again",
            current,
        )


def _replace(connection: Connection, rollout: str, evidence: Evidence) -> None:
    connection.execute(delete(EVIDENCE).where(EVIDENCE.c.rollout == rollout))
    connection.execute(insert(EVIDENCE).values(rollout=rollout, content=evidence.model_dump_json()))


def _last(connection: Connection, *where: ColumnElement[bool]) -> Entry | None:
    rows = select(TRAIL).where(*where).order_by(TRAIL.c.number.desc()).limit(1)
    row = connection.execute(rows).one_or_none()
    return None if row is None else _entry(row)


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    return Entry.model_construct(**row._mapping)
