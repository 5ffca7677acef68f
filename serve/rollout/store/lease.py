"""The lease: the right to write, which one of the keepers with the open store has.

Whether its holder is alive is not decided by the holder's clock, which may be wrong. The row of the lease
changes with every sign of life, and the lease is free when it has not changed for LEASE_S on the asking
keeper's clock."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, update

from serve.base.errors import LostLease
from serve.base.record import Record
from serve.rollout.store.schema import LEASE, name_of, transaction

# A keeper that was silent for this long can be replaced. Every write is a sign of life.
LEASE_S = 5.0


class Lease(Record):
    """Which keeper may write, and until when at least, in seconds since 1970."""

    keeper: str
    until_s: float


class Writer:
    """One keeper at the store's database. All methods raise StoreFailed."""

    def __init__(self, engine: Engine, keeper: str) -> None:
        self.engine = engine
        # Two keepers with the same name must differ.
        self.keeper = f"{keeper}-{secrets.token_hex(4)}"
        # The last seen lease of another keeper, and the time since when it has not changed.
        self._seen: tuple[Lease, float] | None = None
        # Whether it has changed since it was first seen, so that its keeper is alive.
        self.rival = False

    def renew(self, now_s: float) -> bool:
        """Take or keep the lease for LEASE_S. Returns False if another keeper has it."""
        with transaction(self.engine) as connection:
            # On SQLite nobody else writes meanwhile; on PostgreSQL the faster keeper has changed the row.
            lease = lease_of(connection)
            free = lease.keeper == self.keeper or self._is_free(lease, now_s)
            same = and_(LEASE.c.keeper == lease.keeper, LEASE.c.until_s == lease.until_s)
            if free and self._hold(connection, same, now_s):
                self._seen, self.rival = None, False
                return True
        return False

    def _is_free(self, lease: Lease, now_s: float) -> bool:
        """Whether the lease of another keeper may be taken."""
        if self._seen is None:
            self._seen = lease, now_s
            # The holder has not been observed yet, so an expired lease counts as free.
            return lease.until_s <= now_s
        before, since_s = self._seen
        if lease != before:
            self._seen, self.rival = (lease, now_s), lease.until_s != 0
        elif now_s - since_s >= LEASE_S:
            return True
        return lease.until_s == 0

    def release(self) -> None:
        """Release the lease."""
        with transaction(self.engine) as connection:
            connection.execute(update(LEASE).where(LEASE.c.keeper == self.keeper).values(until_s=0.0))

    @contextmanager
    def writing(self, now_s: float) -> Iterator[Connection]:
        """A transaction of the active keeper; other writers wait for its end.

        Raises LostLease."""
        with transaction(self.engine) as connection:
            # The row of the lease is the lock, so it is always written first.
            if not self._hold(connection, LEASE.c.keeper == self.keeper, now_s):
                holder = lease_of(connection)
                raise LostLease(
                    f"keeper {self.keeper} must not write to {name_of(self.engine)}: "
                    f"{holder.keeper or 'no keeper'} has the lease; stop one of the two keepers"
                )
            yield connection

    def _hold(self, connection: Connection, own: ColumnElement[bool], now_s: float) -> bool:
        extension = update(LEASE).where(own).values(keeper=self.keeper, until_s=now_s + LEASE_S)
        return connection.execute(extension).rowcount == 1


def lease_of(connection: Connection) -> Lease:
    """The present lease."""
    return Lease(**connection.execute(select(LEASE)).one()._mapping)
