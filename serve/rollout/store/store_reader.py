"""Read-only access to a store."""

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
    """The state of one model."""

    # The number of the trail's last entry; 0: the trail is empty.
    number: int
    # None: there are no routes yet.
    routes: Routes | None
    # The last rollout, over or not, and its evidence.
    rollout: Rollout | None
    evidence: Evidence


class StoreReader:
    """An open database. Its methods wait for it and can be called from any thread; all raise StoreFailed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def models(self) -> tuple[str, ...]:
        """Every model with a trail, by name."""
        with transaction(self._engine) as connection:
            names = select(TRAIL.c.model).distinct().order_by(TRAIL.c.model)
            return tuple(connection.execute(names).scalars())

    def read(self, model: str) -> Present:
        """The state of `model`. Raises InvalidRecord."""
        with transaction(self._engine) as connection:
            # Read first, so that a write in between makes it stale.
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
        """The entries of `model` after the number `after`, oldest first; at most `most` entries."""
        rows = select(TRAIL).where(TRAIL.c.model == model, TRAIL.c.number > after).order_by(TRAIL.c.number)
        with transaction(self._engine) as connection:
            return tuple(_entry(row) for row in connection.execute(rows.limit(most)))

    def rows(self, model: str) -> Rows:
        """The stored evidence of all rollouts of `model`, with its seals."""
        rollouts = select(TRAIL.c.rollout).where(TRAIL.c.model == model).distinct()
        with transaction(self._engine) as connection:
            columns = [EVIDENCE.c.rollout, EVIDENCE.c.content]
            columns += [EVIDENCE.c.seal] if has_seals(connection) else []
            rows = connection.execute(select(*columns).where(EVIDENCE.c.rollout.in_(rollouts)))
            return {row[0]: (row[1], row[2] if len(row) > 2 else None) for row in rows}

    def label_faults(
        self, model: str, trail: tuple[Entry, ...], accepted: TrailEnd | None, key: SealKey | None
    ) -> tuple[str, ...]:
        """The faults in the labels of the last rollout; none if its start says that they are not sealed, or
        if a person has accepted them."""
        rollout = next((entry.rollout for entry in reversed(trail) if entry.rollout is not None), None)
        start = next((entry for entry in trail if entry.rollout == rollout is not None), None)
        if start is None or start.number <= (accepted.number if accepted else 0):
            return ()
        if rollout is None or ":" not in start.digest or not start.change.rows_sealed:
            return ()
        with transaction(self._engine) as connection:
            return tuple(RowSeals(connection, key).faults(model, rollout))

    def model_of(self, rollout: str) -> str:
        """The model of `rollout`. Raises UnknownRollout."""
        with transaction(self._engine) as connection:
            entry = last_of(connection, TRAIL.c.rollout == rollout)
        if entry is None:
            raise UnknownRollout(f"the store has no rollout {rollout!r}; `history` lists those of a model")
        return entry.model


def last_of(connection: Connection, *where: ColumnElement[bool]) -> Entry | None:
    """The newest of these entries."""
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
