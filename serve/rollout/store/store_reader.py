"""Reader: what a store holds, for whoever does not write."""

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, Row, select

from serve.base.errors import InvalidRecord, UnknownRollout
from serve.base.record import Record, explain
from serve.base.routing import Routes
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.state.rollout import Rollout
from serve.rollout.store.audit import Rows
from serve.rollout.store.row_seals import RowSeals
from serve.rollout.store.schema import EVIDENCE, TRAIL, has_seals, transaction
from serve.rollout.trail.anchor import TrailEnd
from serve.rollout.trail.seal_key import SealKey
from serve.rollout.trail.trail import Entry


class Present(Record):
    """What is in force for one model."""

    # The trail's last entry; 0: nothing was ever written.
    number: int
    # None: there never were any.
    routes: Routes | None
    # The last one, over or not, and what it has seen so far.
    rollout: Rollout | None
    evidence: Evidence


class StoreReader:
    """An open database. Its methods wait for it and may be called from any thread; all raise StoreFailed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def models(self) -> tuple[str, ...]:
        """Every model that was ever written of, by name."""
        with transaction(self._engine) as connection:
            names = select(TRAIL.c.model).distinct().order_by(TRAIL.c.model)
            return tuple(connection.execute(names).scalars())

    def read(self, model: str) -> Present:
        """What is in force for `model`. Raises InvalidRecord."""
        with transaction(self._engine) as connection:
            # First, so that whatever is written meanwhile makes it stale.
            last = last_of(connection, TRAIL.c.model == model)
            routed = last_of(connection, TRAIL.c.model == model, TRAIL.c.revision.is_not(None))
            rolled = last_of(connection, TRAIL.c.model == model, TRAIL.c.rollout.is_not(None))
            seen = select(EVIDENCE.c.content).where(EVIDENCE.c.rollout == (rolled and rolled.rollout))
            evidence = connection.execute(seen).scalar_one_or_none()
        return Present(
            number=last.number if last else 0,
            routes=routed.change.routes if routed else None,
            rollout=rolled.change.rollout if rolled else None,
            evidence=_evidence(evidence),
        )

    def trail(self, model: str, after: int = 0, most: int | None = None) -> tuple[Entry, ...]:
        """Everything that was done to `model` after the entry of that number, oldest first; `most`: and no
        more entries than that."""
        rows = select(TRAIL).where(TRAIL.c.model == model, TRAIL.c.number > after).order_by(TRAIL.c.number)
        with transaction(self._engine) as connection:
            return tuple(_entry(row) for row in connection.execute(rows.limit(most)))

    def rows(self, model: str) -> Rows:
        """The evidence of all rollouts of `model` as it lies there, and its seals."""
        mine = select(TRAIL.c.rollout).where(TRAIL.c.model == model).distinct()
        with transaction(self._engine) as connection:
            columns = [EVIDENCE.c.rollout, EVIDENCE.c.content]
            columns += [EVIDENCE.c.seal] if has_seals(connection) else []
            found = connection.execute(select(*columns).where(EVIDENCE.c.rollout.in_(mine)))
            return {row[0]: (row[1], row[2] if len(row) > 2 else None) for row in found}

    def label_faults(
        self, model: str, trail: tuple[Entry, ...], accepted: TrailEnd | None, key: SealKey | None
    ) -> tuple[str, ...]:
        """What of the labels of the last rollout is not what was written; nothing, where its start says that
        they were not sealed, or a person has taken it as it is since."""
        rollout = next((entry.rollout for entry in reversed(trail) if entry.rollout is not None), None)
        start = next((entry for entry in trail if entry.rollout == rollout is not None), None)
        if start is None or start.number <= (accepted.number if accepted else 0):
            return ()
        if rollout is None or ":" not in start.digest or not start.change.rows_sealed:
            return ()
        with transaction(self._engine) as connection:
            return tuple(RowSeals(connection, key).faults(model, rollout))

    def model_of(self, rollout: str) -> str:
        """The model that `rollout` is of. Raises UnknownRollout."""
        with transaction(self._engine) as connection:
            entry = last_of(connection, TRAIL.c.rollout == rollout)
        if entry is None:
            raise UnknownRollout(f"no rollout {rollout!r} in the store; `history` lists those of a model")
        return entry.model


def last_of(connection: Connection, *where: ColumnElement[bool]) -> Entry | None:
    """The newest entry of those."""
    rows = select(TRAIL).where(*where).order_by(TRAIL.c.number.desc()).limit(1)
    row = connection.execute(rows).one_or_none()
    return None if row is None else _entry(row)


def _evidence(content: str | None) -> Evidence:
    try:
        return Evidence.model_validate_json(content) if content else Evidence()
    except ValidationError as error:
        raise InvalidRecord(f"stored evidence: {explain(error)}") from None


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    return Entry.model_construct(**row._mapping)
