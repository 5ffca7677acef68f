"""Defines the tables of the store and migrates them, in a SQLite file or in PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from serve.base.errors import InvalidRecord, StoreFailed
from serve.rollout.store.migrations import MIGRATIONS

# A write to a SQLite file may take seconds when other programs use the disk. Commands wait 10 s for an
# answer, so a longer timeout would hide the error from them.
_LOCK_TIMEOUT_S = 8
_TABLES = MetaData()
# Append-only; see serve/rollout/trail/trail.py.
TRAIL = Table(
    "trail",
    _TABLES,
    Column("model", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("rollout", Text),
    Column("revision", Integer),
    Column("content", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Index("trail_rollout", "rollout"),
)
# The evidence of each rollout so far, in one row that is replaced. The trail holds the evidence of verdicts.
EVIDENCE = Table(
    "evidence",
    _TABLES,
    Column("rollout", Text, primary_key=True),
    Column("content", Text, nullable=False),
    # None: the entry was written without a key.
    Column("seal", Text),
)
# This table has one row.
LEASE = Table(
    "lease", _TABLES, Column("keeper", Text, nullable=False), Column("until_s", Double, nullable=False)
)
# The answers that may get feedback later: one row for each request of a rollout that takes feedback.
ANSWERED = Table(
    "answered",
    _TABLES,
    Column("model", Text, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    Column("rollout", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("split", Double, nullable=False),
    Column("sticky", Boolean, nullable=False),
    Column("candidate", Boolean, nullable=False),
    Column("at_s", Double, nullable=False),
    # Whether the answer was right. None: there is no feedback yet.
    Column("outcome", Boolean),
    # The top class of the answer, and in the shadow also of the candidate's answer.
    Column("top", Integer),
    Column("other", Integer),
    Index("answered_age", "model", "at_s"),
)
# The labelled answers of one second, and the wrong ones among them.
LABELS = Table(
    "labels",
    _TABLES,
    Column("model", Text, primary_key=True),
    Column("rollout", Text, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("split", Double, primary_key=True),
    Column("sticky", Boolean, primary_key=True),
    Column("second", BigInteger, primary_key=True),
    Column("baseline", Integer, nullable=False),
    Column("candidate", Integer, nullable=False),
    Column("baseline_wrong", Integer, nullable=False),
    Column("candidate_wrong", Integer, nullable=False),
    Index("labels_rollout", "rollout"),
)
# The labels of shadow requests, by class.
MATCHED = Table(
    "matched",
    _TABLES,
    Column("model", Text, primary_key=True),
    Column("rollout", Text, primary_key=True),
    Column("label", Integer, primary_key=True),
    Column("labelled", Integer, nullable=False),
    Column("baseline_alone", Integer, nullable=False),
    Column("candidate_alone", Integer, nullable=False),
    Column("neither", Integer, nullable=False),
)
# Labels that arrived before their requests were stored.
HELD = Table(
    "held",
    _TABLES,
    Column("model", Text, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    Column("correct", Boolean),
    Column("label", Integer),
    Column("told_s", Double, nullable=False),
)
# Of the rows of those tables that are of one rollout: how many they are, the sum of their numbers, which is
# hexadecimal, and a seal; see serve/rollout/store/row_seals.py.
ROW_SEALS = Table(
    "row_seals",
    _TABLES,
    Column("model", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("rollout", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("total", Text, nullable=False),
    Column("seal", Text, nullable=False),
)
_VERSION = Table("schema_version", _TABLES, Column("version", Integer, nullable=False))

# Older versions have no seals of evidence.
_SEALED = 4
# If two keepers start at the same time, one migrates and the other waits.
_MIGRATING = 7_205_759


def open_engine(url: str) -> Engine:
    """The database at `url`, migrated to the newest version. Raises InvalidRecord and StoreFailed."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    kept = parsed is not None and parsed.database not in (None, "", ":memory:")
    if parsed is None or not kept or parsed.drivername not in ("sqlite", "postgresql"):
        raise InvalidRecord(
            "a store's URL is sqlite:////FOLDER/FILE.db or postgresql://USER:PASSWORD@HOST/DATABASE; "
            f"{parsed.drivername + ':' if parsed else 'something else'} came"
        )
    if parsed.drivername == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": _LOCK_TIMEOUT_S})
        # Python's driver would begin the transaction late. With the lock first, a reader can write next.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    else:
        # A keeper that hangs in a transaction must not block the keeper that takes over.
        limits = "-c lock_timeout=5s -c idle_in_transaction_session_timeout=10s -c statement_timeout=30s"
        try:
            engine = create_engine(
                parsed, pool_pre_ping=True, connect_args={"connect_timeout": 5, "options": limits}
            )
        except ModuleNotFoundError as error:
            raise StoreFailed(f"{error}; pip install 'counterweight[postgres]'") from None
    try:
        _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_reader(url: str) -> Engine:
    """Open the database at `url` for reading; creates and migrates nothing. Raises InvalidRecord and
    StoreFailed."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidRecord("a store's URL is sqlite:////FOLDER/FILE.db or postgresql://...") from None
    if parsed.drivername == "sqlite":
        if not Path(str(parsed.database)).is_file():
            raise StoreFailed(f"there is no store {parsed.database}; name its file or its URL")
        where = f"file:{quote(str(Path(str(parsed.database)).absolute()))}?mode=ro"
        return create_engine("sqlite://", creator=lambda: sqlite3.connect(where, uri=True))
    return create_engine(parsed)


def has_seals(connection: Connection) -> bool:
    """Whether evidence is sealed in this version of the schema."""
    return bool(connection.execute(select(_VERSION.c.version)).scalar_one() >= _SEALED)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction: either all changes inside are committed, or none. Raises StoreFailed."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", error)
        raise StoreFailed(f"the store {name_of(engine)} failed: {str(cause).strip()}") from error


def name_of(engine: Engine) -> str:
    """The URL without its password."""
    return engine.url.render_as_string(hide_password=True)


def _migrate(engine: Engine) -> None:
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
        if not inspect(connection).has_table(_VERSION.name):
            _TABLES.create_all(connection)
            connection.execute(insert(LEASE).values(keeper="", until_s=0.0))
            connection.execute(insert(_VERSION).values(version=len(MIGRATIONS)))
        version = connection.execute(select(_VERSION.c.version)).scalar_one()
        if version > len(MIGRATIONS):
            raise StoreFailed(
                f"the store {name_of(engine)} has schema version {version}, this program knows "
                f"{len(MIGRATIONS)}; use the newer one that wrote it"
            )
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(text(statement))
        if version < len(MIGRATIONS):
            connection.execute(update(_VERSION).values(version=len(MIGRATIONS)))
