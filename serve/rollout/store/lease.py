"""Lease: of all keepers that have the store open, the one that may write.

Whether the one that has it still lives is not read off its clock, which may be an hour ahead: its row changes
with every sign of life, and is free when it has not changed for LEASE_S on the asking keeper's own clock."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, update

from serve.base.errors import LostLease
from serve.base.record import Record
from serve.rollout.store.schema import LEASE, name_of, transaction

# A keeper that was silent for so long may be replaced. Every write is a sign of life.
LEASE_S = 5.0


class Lease(Record):
    """Which keeper may write, and until when at least, in seconds since 1970."""

    keeper: str
    until_s: float


class Writer:
    """One keeper at the store's database. All methods raise StoreFailed."""

    def __init__(self, engine: Engine, keeper: str) -> None:
        self.engine = engine
        # Two keepers of one name are still two.
        self.keeper = f"{keeper}-{secrets.token_hex(4)}"
        # Another keeper's lease as it was seen last, and since when it has not changed.
        self._seen: tuple[Lease, float] | None = None
        # Whether it has changed since it was seen first: then that keeper lives.
        self.rival = False

    def renew(self, now_s: float) -> bool:
        """Take the lease, or keep it, for LEASE_S more. False: another keeper has it."""
        with transaction(self.engine) as connection:
            # On SQLite nobody writes meanwhile; on PostgreSQL who was faster has changed the row by then.
            held = lease_of(connection)
            free = held.keeper == self.keeper or self._is_free(held, now_s)
            same = and_(LEASE.c.keeper == held.keeper, LEASE.c.until_s == held.until_s)
            if free and self._hold(connection, same, now_s):
                self._seen, self.rival = None, False
                return True
        return False

    def _is_free(self, held: Lease, now_s: float) -> bool:
        """Whether a lease of another keeper's may be taken."""
        if self._seen is None:
            self._seen = held, now_s
            # Nothing is known of who had it: a lease that is over is taken at its word.
            return held.until_s <= now_s
        before, since_s = self._seen
        if held != before:
            self._seen, self.rival = (held, now_s), held.until_s != 0
        elif now_s - since_s >= LEASE_S:
            return True
        return held.until_s == 0

    def release(self) -> None:
        """Leave the lease to whoever wants it."""
        with transaction(self.engine) as connection:
            connection.execute(update(LEASE).where(LEASE.c.keeper == self.keeper).values(until_s=0.0))

    @contextmanager
    def writing(self, now_s: float) -> Iterator[Connection]:
        """A transaction of the keeper that acts; whoever else wants to write waits for its end.

        Raises LostLease."""
        with transaction(self.engine) as connection:
            # The lease's row is the lock: written first, always.
            if not self._hold(connection, LEASE.c.keeper == self.keeper, now_s):
                holder = lease_of(connection)
                raise LostLease(
                    f"keeper {self.keeper} may not write to {name_of(self.engine)}: "
                    f"{holder.keeper or 'nobody'} has the lease; stop one of the two keepers"
                )
            yield connection

    def _hold(self, connection: Connection, mine: ColumnElement[bool], now_s: float) -> bool:
        held = update(LEASE).where(mine).values(keeper=self.keeper, until_s=now_s + LEASE_S)
        return connection.execute(held).rowcount == 1


def lease_of(connection: Connection) -> Lease:
    """Who acts."""
    return Lease(**connection.execute(select(LEASE)).one()._mapping)
