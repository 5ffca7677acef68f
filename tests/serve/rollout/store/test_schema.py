from itertools import chain
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, insert, inspect, text

from serve.base.errors import InvalidRecord, StoreFailed
from serve.rollout.evidence.evidence import Events, Pair
from serve.rollout.state.feedback import Feedback
from serve.rollout.store import schema
from serve.rollout.store.migrations import MIGRATIONS
from serve.rollout.store.schema import open_engine
from serve.rollout.store.store import Store
from tests.serve.rollout.stores import go_on, sealed, started

NOTHING = Feedback(counted=0, double=(), late=(), unknown=())


def execute(url: str, statement: str) -> None:
    """Execute a statement without the store."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def make_old(url: str, version: int) -> None:
    """A store as the program of that version of the schema made it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE schema_version (version INTEGER NOT NULL)"))
        connection.execute(text(f"INSERT INTO schema_version VALUES ({version})"))
        for statement in chain.from_iterable(MIGRATIONS[:version]):
            connection.execute(text(statement))
    engine.dispose()


def tables_of(url: str) -> dict[str, Any]:
    """Return each table's columns with their types and nullability, its key and its indexes."""
    engine = open_engine(url)
    seen = inspect(engine)
    found = {table: _describe(seen, table) for table in seen.get_table_names()}
    engine.dispose()
    return found


def _describe(seen: Any, table: str) -> tuple[Any, ...]:
    key = seen.get_pk_constraint(table)["constrained_columns"]
    # SQLite allows null in a key of one column, unless the column forbids it.
    columns = {
        item["name"]: (_type(item["type"]), item["nullable"] and item["name"] not in key)
        for item in seen.get_columns(table)
    }
    return columns, key, sorted((index["name"], index["column_names"]) for index in seen.get_indexes(table))


def _type(of: Any) -> str:
    # SQLite keeps the declared type; SQLAlchemy shows an unknown type as its affinity.
    return {"NUMERIC": "BLOB", "REAL": "DOUBLE", "DOUBLE PRECISION": "DOUBLE"}.get(str(of), str(of))


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_new_store_and_an_upgraded_one_have_the_same_tables(url: str, version: int) -> None:
    """A new store has the same tables as one that was upgraded from each version."""
    new = tables_of(url)
    assert {"trail", "lease", "row_seals", "schema_version"} <= new.keys()
    engine = create_engine(url)
    MetaData.drop_all(schema._TABLES, engine)
    engine.dispose()
    make_old(url, version)
    assert tables_of(url) == new


def test_a_store_of_a_newer_schema_is_refused_by_name(store: Store, url: str) -> None:
    """A store with a newer schema is refused, and the error gives both versions."""
    execute(url, "UPDATE schema_version SET version = 99")
    with pytest.raises(StoreFailed, match="has schema version 99, this program knows 7; use the newer one"):
        Store(url, "keeper")


def test_a_store_of_an_older_schema_is_migrated_with_all_that_is_in_it(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older store is migrated once and keeps its content."""
    go_on(store, 0.0)
    newer = (*MIGRATIONS, ("ALTER TABLE lease ADD COLUMN place TEXT",))
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    for _ in range(2):
        other = Store(url, "keeper")
        assert other.read("digits").number == 1
        other.close()
    execute(url, "UPDATE lease SET place = 'here'")


def test_a_store_of_the_first_version_takes_feedback(url: str) -> None:
    """A store of the first version is migrated, keeps its trail and accepts feedback."""
    make_old(url, 1)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(schema.TRAIL).values(**sealed(started())[0].model_dump()))
    engine.dispose()
    store = Store(url, "keeper")
    assert store.renew(1.0)
    assert store.learn("digits", (), None, 1.0) == NOTHING
    assert store.read("digits").number == 1
    store.close()


def test_labels_that_were_told_before_they_were_counted_by_seconds_still_count(url: str) -> None:
    """Outcomes of an older schema count after the upgrade."""
    make_old(url, 4)
    values = (
        "'d1', TRUE, 7.2, FALSE",
        "'d2', TRUE, 7.9, TRUE",
        "'d3', FALSE, 9.1, FALSE",
        "'d4', TRUE, 9.1, NULL",
    )
    for value in values:
        execute(
            url,
            "INSERT INTO answered (model, rollout, step, split, sticky, id, candidate, at_s, outcome) "
            f"VALUES ('digits', 'r1', 1, 0.5, FALSE, {value})",
        )
    store = Store(url, "keeper")
    [found] = store.labels("r1")
    assert (found.labelled, found.wrong) == (Pair(baseline=1, candidate=2), Events.ticks([(0, 1), (1, 0)]))
    store.close()


def test_a_migration_that_fails_changes_nothing(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that fails changes neither the version nor the tables."""
    with monkeypatch.context() as patch:
        statements = ("ALTER TABLE lease ADD COLUMN place TEXT", "no such statement")
        patch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, statements))
        with pytest.raises(StoreFailed):
            Store(url, "keeper")
    assert go_on(store, 0.0) == 1
    other = Store(url, "keeper")
    other.close()


@pytest.mark.parametrize(
    "wrong", ["mysql://ann:secret@host/db", "rollouts.db", "sqlite://", "sqlite:///:memory:"]
)
def test_a_url_of_something_else_is_refused(wrong: str) -> None:
    """The error for an invalid URL shows the expected form and does not contain the password."""
    with pytest.raises(InvalidRecord, match="a store's URL is sqlite:") as refused:
        Store(wrong, "keeper")
    assert "secret" not in str(refused.value)


def test_a_store_that_is_out_of_reach_is_named_without_its_password() -> None:
    """The error of an unreachable store has its URL without the password."""
    with pytest.raises(StoreFailed, match=r"127\.0\.0\.1") as refused:
        Store("postgresql://ann:secret@127.0.0.1:1/rollouts", "keeper")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_connections_that_were_cut_are_made_anew(store: Store, url: str) -> None:
    """Connections that PostgreSQL has closed are opened again."""
    go_on(store, 0.0)
    execute(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert go_on(store, 61.0) == 2
