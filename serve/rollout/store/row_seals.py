"""Seals for labels and labelled requests, which show whether their rows were changed.

Each row has a number that cannot be computed without the key: its HMAC. The sum of the numbers of all rows
changes with each row that is changed, added or deleted, and can be updated without reading other rows (an
additive multiset hash: Clarke et al., ASIACRYPT 2003). Sum and count are sealed, for the last started rollout
of a model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Connection, Double, LargeBinary, Row, Table, delete, insert, select, update

from serve.rollout.store.schema import ANSWERED, HELD, LABELS, MATCHED, ROW_SEALS
from serve.rollout.trail.seal_key import SealKey

_TABLES: Mapping[str, Table] = {table.name: table for table in (LABELS, MATCHED, ANSWERED, HELD)}
_SAID = {
    "labels": "the labels",
    "matched": "the labels of the shadow",
    "answered": "the requests that may be labelled",
    "held": "the labels that are waiting for their requests",
}
_MODULUS = 2**256
_KINDS: Mapping[type[Any], type[Any]] = {Boolean: bool, Double: float, LargeBinary: bytes}
_COLUMNS = {
    name: [(column.name, _KINDS.get(type(column.type))) for column in table.columns]
    for name, table in _TABLES.items()
}
# A row with all columns of its table.
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class RowSeals:
    """The seals within one transaction. Without a key there are none."""

    connection: Connection
    key: SealKey | None

    def begin(self, model: str, rollout: str) -> None:
        """Seal the rows of a rollout that starts, of which there are none yet."""
        self.connection.execute(delete(HELD).where(HELD.c.model == model))
        self.connection.execute(delete(ROW_SEALS).where(ROW_SEALS.c.model == model))
        for name in _TABLES if self.key is not None else ():
            fields = {"model": model, "name": name, "rollout": rollout, "number": 0, "total": f"{0:064x}"}
            self.connection.execute(insert(ROW_SEALS).values(**fields, seal=self._seal(fields)))

    def change(self, table: Table, old: Iterable[Fields], new: Iterable[Fields]) -> None:
        """Replace rows of one model in the sums. Sums with a wrong seal stay broken until a person has
        checked them."""
        removed, added = list(old), list(new)
        if self.key is None or not (removed or added):
            return
        model = (removed or added)[0]["model"]
        sealed = self._find(model, table)
        if sealed is None or not self.key.fits(_text(sealed), sealed["seal"]):
            return
        number, total = sealed["number"], int(sealed["total"], 16)
        for rows, sign in ((removed, -1), (added, 1)):
            own = [row for row in rows if row.get("rollout", sealed["rollout"]) == sealed["rollout"]]
            number += sign * len(own)
            total += sign * sum(self._number(table, _stored(table, row)) for row in own)
        fields = sealed | {"number": number, "total": f"{total % _MODULUS:064x}"}
        where = (ROW_SEALS.c.model == model, ROW_SEALS.c.name == table.name)
        self.connection.execute(update(ROW_SEALS).where(*where).values(fields | {"seal": self._seal(fields)}))

    def faults(self, model: str, rollout: str) -> Iterator[str]:
        """The tables whose rows of this rollout were changed."""
        for table in _TABLES.values():
            own = table.c.model == model
            if "rollout" in table.c:
                own &= table.c.rollout == rollout
            # In batches, because there may be a million requests.
            rows = self.connection.execute(select(table).where(own).execution_options(yield_per=10_000))
            number = total = 0
            for row in rows if self.key is not None else ():
                number, total = number + 1, total + self._number(table, tuple(row))
            sealed = self._find(model, table)
            actual = {"rollout": rollout, "number": number, "total": f"{total % _MODULUS:064x}"}
            if (
                self.key is None
                or sealed is None
                or not self.key.fits(_text(sealed), sealed["seal"])
                or actual != {name: sealed[name] for name in actual}
            ):
                yield f"{_SAID[table.name]} of {rollout} were changed"

    def _find(self, model: str, table: Table) -> dict[str, Any] | None:
        where = (ROW_SEALS.c.model == model, ROW_SEALS.c.name == table.name)
        row = self.connection.execute(select(ROW_SEALS).where(*where)).one_or_none()
        return None if row is None else dict(row._mapping)

    def _seal(self, fields: Fields) -> str:
        assert self.key is not None
        return self.key.seal(_text(fields))

    def _number(self, table: Table, row: tuple[Any, ...]) -> int:
        """The number of a row with the values of the database."""
        assert self.key is not None
        return int.from_bytes(self.key.digest(repr((table.name, row))))


def fields_of(table: Table, row: Row[Any]) -> dict[str, Any]:
    """The columns of the table in a row that may have more."""
    return {column.name: getattr(row, column.name) for column in table.columns}


def _stored(table: Table, row: Fields) -> tuple[Any, ...]:
    """The row with the types that the database returns, such as 5.0 for 5."""
    values = ((row[name], kind) for name, kind in _COLUMNS[table.name])
    return tuple(value if kind is None or value is None else kind(value) for value, kind in values)


def _text(fields: Fields) -> str:
    return repr([fields[name] for name in ("model", "name", "rollout", "number", "total")])
