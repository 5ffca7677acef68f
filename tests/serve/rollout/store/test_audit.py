"""Tampering with a store is found at the next start: no decision is based on it, and it is not changed."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from serve.base.errors import BrokenTrail
from serve.control.memory_operations import MemoryOperations
from serve.rollout.state.policy import ShadowPolicy
from serve.rollout.state.rollout import Phase
from serve.rollout.store.lease import LEASE_S
from serve.rollout.trail.seal_key import SealKey
from serve.rollout.trail.trail import Entry, digest_of, seal
from tests.serve.rollout.local_keeper import POLICY, Clock, Gateway, LocalKeeper, turn

# A stall lasts a second as a rule, so a lasting failure soon counts as a rate.
SKIP = POLICY.model_copy(
    update={
        "shadow": ShadowPolicy(skip=True),
        "guards": POLICY.guards.model_copy(update={"stall_s": 1.0}),
    }
)
Database = sqlite3.Connection


@contextmanager
def behind(url: str) -> Iterator[Database]:
    """The database without the store."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
        yield database


def trail_of(database: Database) -> list[Entry]:
    """Return the trail as it is stored."""
    names = "model, number, rollout, revision, content, digest"
    rows = database.execute(f"SELECT {names} FROM trail ORDER BY number")
    return [Entry.model_construct(**dict(zip(names.split(", "), row, strict=True))) for row in rows]


def write(database: Database, entries: list[Entry], key: SealKey | None = None) -> None:
    """Replace the trail by these changes, with fresh numbers and seals."""
    database.execute("DELETE FROM trail")
    previous = ""
    for number, entry in enumerate(entries, 1):
        fresh = entry.model_copy(update={"number": number})
        if key is None:
            fresh = fresh.model_copy(update={"digest": digest_of(fresh, previous)})
        else:
            fresh = seal(entry.change, number, previous, key)
        previous = fresh.digest
        database.execute("INSERT INTO trail VALUES (?, ?, ?, ?, ?, ?)", tuple(dict(fresh).values()))


def edit(change: Callable[[dict[str, Any]], object], *, sealed: bool = True) -> Callable[[Database], object]:
    """Change the content of every entry of the rollout; with `sealed`, write new seals, too."""

    def tamper(database: Database) -> None:
        entries = []
        for entry in trail_of(database):
            content = json.loads(entry.content)
            if content["rollout"]:
                change(content)
            text = json.dumps(content, separators=(",", ":"))
            entries.append(entry.model_copy(update={"content": text}))
        if sealed:
            write(database, entries)
        for entry in () if sealed else entries:
            database.execute("UPDATE trail SET content = ? WHERE number = ?", (entry.content, entry.number))

    return tamper


def swap_routes(content: dict[str, Any]) -> None:
    if content["routes"]:
        weights = content["routes"]["weights"]
        content["routes"]["weights"] = {"fp32": weights["int8"], "int8": weights["fp32"]}


def move_evidence(content: dict[str, Any]) -> None:
    for segment in content["judged"]["evidence"]["segments"] if content["judged"] else ():
        segment["started_s"] -= 1e6


def revive(content: dict[str, Any]) -> None:
    if content["rollout"]["phase"] == "ROLLED_BACK":
        content["rollout"]["phase"] = "DONE"
        content["routes"]["weights"] = {"fp32": 0.0, "int8": 1.0}


def drop_waiting(database: Database) -> None:
    entries = trail_of(database)
    waiting = [entry for entry in entries if '"kind":"CONTINUE"' in entry.content]
    assert waiting
    write(database, [entry for entry in entries if entry not in waiting])


def cut(entries: int) -> Callable[[Database], object]:
    return lambda database: database.execute(
        "DELETE FROM trail WHERE number > (SELECT max(number) FROM trail) - ?", (entries,)
    )


def run(statement: str) -> Callable[[Database], object]:
    return lambda database: database.execute(statement)


TAMPERINGS: dict[str, Callable[[Database], object]] = {
    "two changed numbers": edit(revive, sealed=False),
    "the last entry cut off": cut(1),
    "half of the trail cut off": cut(3),
    "the whole trail gone": run("DELETE FROM trail"),
    "the first entry deleted": run("DELETE FROM trail WHERE number = 1"),
    "an entry in the middle deleted": run("DELETE FROM trail WHERE number = 3"),
    "a byte changed": run("UPDATE trail SET content = replace(content, 'ann', 'bnn') WHERE number = 2"),
    "an entry that cannot be read": run("UPDATE trail SET content = '{' WHERE number = 4"),
    "the last digest changed": run("UPDATE trail SET digest = replace(digest, 'a', 'b')"),
    "evidence changed": run(
        "UPDATE evidence SET content = replace(content, '\"baseline\":', '\"baseline\":9')"
    ),
    "evidence changed, without a seal": run("UPDATE evidence SET content = '{}', seal = NULL"),
    "evidence that cannot be read": run("UPDATE evidence SET content = 'nothing'"),
    "evidence gone": run("DELETE FROM evidence"),
    "sealed anew: routes": edit(swap_routes),
    "sealed anew: the limit": edit(lambda content: content["rollout"].update(limit_ms=99_999.0)),
    "sealed anew: digests": edit(
        lambda content: content["rollout"]["plan"].update(digests={"fp32": "0" * 64, "int8": "0" * 64})
    ),
    "sealed anew: who": edit(lambda content: content.update(by="eve")),
    "sealed anew: why": edit(lambda content: content["rollout"].update(reason="all is well")),
    "sealed anew: evidence moved in time": edit(move_evidence),
    "sealed anew: a rollback made a success": edit(revive),
    "sealed anew: verdicts that waited are gone": drop_waiting,
    "sealed with another key": lambda database: write(database, trail_of(database), SealKey(bytes(32))),
}


def story(keeping: LocalKeeper, gateway: Gateway) -> None:
    """A rollout that waits, goes a step further and is rolled back."""
    keeping.start(SKIP)
    turn(keeping, gateway, 500)
    turn(keeping, gateway, 1500)
    while not keeping.rollout.phase.over:
        turn(keeping, gateway, errors=(0, 400))
    assert len(keeping.store.trail("digits")) >= 5
    keeping.kill()


def contents(url: str) -> list[tuple[Any, ...]]:
    """Return all stored content."""
    with behind(url) as database:
        return [*database.execute("SELECT * FROM trail"), *database.execute("SELECT * FROM evidence")]


def restart(file: str, clock: Clock) -> LocalKeeper:
    """Start the next keeper after the lease has ended."""
    clock.now_s += LEASE_S
    return LocalKeeper(file, clock)


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_a_tampering_is_noticed_at_the_next_start(
    keeping: LocalKeeper, gateway: Gateway, file: str, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """After tampering the baseline has all traffic, the fault is logged, no rollout can start, and the store
    stays unchanged."""
    story(keeping, gateway)
    with behind(file) as database:
        TAMPERINGS[kind](database)
    before = contents(file)
    other = restart(file, keeping.clock)
    assert other.routes.weights == {"fp32": 100.0}
    assert "no decision is based on this trail" in caplog.text
    assert "was changed or damaged" in other.controller.warnings(other.state)[0]
    other.tick()
    with pytest.raises(BrokenTrail, match="counterweight verify"):
        other.start(SKIP, "slim")
    other.kill()
    assert contents(file) == before


def test_what_was_not_tampered_with_is_followed(keeping: LocalKeeper, gateway: Gateway, file: str) -> None:
    """A trail without tampering is followed, and the anchor has its last entry."""
    story(keeping, gateway)
    other = restart(file, keeping.clock)
    assert other.place == (Phase.ROLLED_BACK, 2)
    assert other.controller.warnings(other.state) == ()
    [*_, head] = other.store.trail("digits")
    anchor = other.store.anchor
    assert anchor is not None
    last = anchor.last("digits")
    assert last is not None
    assert (last.number, last.digest) == (head.number, head.digest)
    other.start(SKIP, "slim")
    other.kill()


def test_a_store_without_seals_of_keys_goes_on_with_them(
    keeping: LocalKeeper, gateway: Gateway, file: str
) -> None:
    """A store without keyed seals is followed, and is protected by them from then on."""
    story(keeping, gateway)
    path = Path(file.removeprefix("sqlite:///"))
    path.with_suffix(".key").unlink()
    path.with_suffix(".anchor").unlink()
    with behind(file) as database:
        write(database, trail_of(database))
        database.execute("UPDATE evidence SET seal = NULL")
    other = restart(file, keeping.clock)
    assert other.place == (Phase.ROLLED_BACK, 2)
    other.start(SKIP, "slim")
    other.kill()
    with behind(file) as database:
        TAMPERINGS["sealed anew: who"](database)
    third = restart(file, keeping.clock)
    assert third.state.faults
    third.kill()


def test_a_key_that_was_lost_is_named(keeping: LocalKeeper, gateway: Gateway, file: str) -> None:
    """The fault of a missing key names the option `--seal-key`."""
    story(keeping, gateway)
    Path(file.removeprefix("sqlite:///")).with_suffix(".key").unlink()
    other = restart(file, keeping.clock)
    assert "is sealed with the key" in other.state.faults[0]
    assert "name its file with --seal-key" in other.state.faults[0]
    other.kill()


def test_a_model_whose_rollouts_are_gone_says_so_when_it_is_asked(
    keeping: LocalKeeper, gateway: Gateway, file: str
) -> None:
    """The error for a model whose trail was deleted says that its end was cut off."""
    story(keeping, gateway)
    with behind(file) as database:
        database.execute("DELETE FROM trail")
    other = restart(file, keeping.clock)
    with pytest.raises(BrokenTrail, match="its end was cut off"):
        MemoryOperations(other.controller).rollouts("digits")
    other.kill()
