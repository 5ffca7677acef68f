"""What a store reports if the anchor or the key is missing."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from serve.rollout.store.store import Store
from serve.rollout.trail.trail import Entry, digest_of
from tests.serve.rollout.stores import go_on


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a closed store with a rollout of three entries."""
    path = tmp_path / "rollouts.db"
    store = opened(path)
    for at_s in (0.0, 61.0, 122.0):
        go_on(store, at_s)
    store.close()
    return path


def opened(path: Path) -> Store:
    """Return the open store with the lease."""
    store = Store(f"sqlite:///{path}", "keeper")
    assert store.renew(0.0)
    return store


def faults_of(path: Path) -> tuple[str, ...]:
    """Return the faults that the next keeper finds."""
    store = opened(path)
    try:
        return store.recall("digits")[2]
    finally:
        store.close()


def seal_anew(path: Path) -> None:
    """Change a name and write all seals again, as an attacker without the key could."""
    with closing(sqlite3.connect(path)) as database, database:
        names = "model, number, rollout, revision, content, digest"
        previous = ""
        for row in database.execute(f"SELECT {names} FROM trail ORDER BY number").fetchall():
            entry = Entry.model_construct(**dict(zip(names.split(", "), row, strict=True)))
            entry = entry.model_copy(update={"content": entry.content.replace('"ann"', '"eve"')})
            previous = digest_of(entry, previous)
            update = "UPDATE trail SET content = ?, digest = ? WHERE number = ?"
            database.execute(update, (entry.content, previous, entry.number))


def test_an_anchor_that_is_gone_is_warned_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A missing anchor is warned of once; the trail is followed and a new anchor is written."""
    path.with_suffix(".anchor").unlink()
    assert faults_of(path) == ()
    assert "digits has 3 entries, but the anchor " in caplog.text
    caplog.clear()
    assert faults_of(path) == ()
    assert caplog.text == ""


@pytest.mark.parametrize("gone", [".anchor", ".key"])
def test_a_trail_sealed_anew_without_the_key_is_noticed(path: Path, gone: str) -> None:
    """A trail that was sealed again without the key is noticed as long as the key or the anchor is left."""
    seal_anew(path)
    path.with_suffix(gone).unlink()
    [fault] = faults_of(path)
    said = {".anchor": "it is sealed without a key although the key ", ".key": "it was rewritten"}
    assert said[gone] in fault
    assert faults_of(path) == (fault,)


def test_what_was_written_before_there_was_a_key_is_warned_of_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A trail without keyed seals, key and anchor is warned of once and followed."""
    seal_anew(path)
    path.with_suffix(".key").unlink()
    path.with_suffix(".anchor").unlink()
    assert faults_of(path) == ()
    assert "3 entries are not sealed" in caplog.text
    caplog.clear()
    assert faults_of(path) == ()
    assert caplog.text == ""
