"""The counts of a gateway that died are used once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.counting.count_delta import Count, CountDelta
from serve.counting.journal import Journal, lock_folder
from serve.counting.ledger import Account, Line
from serve.rollout.unreported_counts import UnreportedCounts, recover
from tests.serve.rollout.journal_process import WATCH, killed_after

STICKY = (2, True, "int8")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of the gateways of a running server."""
    lock = lock_folder(tmp_path / "cw-1")
    yield tmp_path / "cw-1"
    os.close(lock)


def told(unreported: UnreportedCounts) -> list[CountDelta]:
    """Return the deltas of the unreported, refusing none."""
    deltas: list[CountDelta] = []

    def take(model: str, gateway: str, delta: CountDelta) -> bool:
        deltas.append(delta)
        return True

    unreported.deliver(take)
    return deltas


def left(folder: Path) -> list[str]:
    """Return the names of the files in the folder."""
    return sorted(path.name for path in folder.iterdir())


def account(*deltas: list[Line]) -> Account:
    """Return the account of a gateway with delta 7 and those after it."""
    return Account(
        model="digits",
        rollout="r1",
        baseline="fp32",
        candidate="int8",
        deltas=dict(enumerate(deltas, 7)),
    )


def line(variant: str, numbers: tuple[int, int, int], in_flight: int = 0) -> Line:
    return Line(choice=(2, False, variant), bucket=None, numbers=numbers, in_flight=in_flight)


def test_deltas_have_the_numbers_that_their_gateway_gave_them() -> None:
    """Recovered deltas have their gateway's numbers: the one that was sent, and the current one."""
    deltas = list(recover(account([line("fp32", (5, 1, 2))], [line("int8", (3, 0, 0))]), ()))
    assert [(delta.number, delta.rollout, delta.counts) for delta in deltas] == [
        (7, "r1", {(2, False, "fp32"): Count(requests=5, errors=1, over_limit=2)}),
        (8, "r1", {(2, False, "int8"): Count(requests=3)}),
    ]


def test_keys_stand_in_what_they_are_a_part_of() -> None:
    """Counts by key are recovered with their errors; a request in flight counts as failed."""
    lines = [
        Line(choice=STICKY, bucket=9, numbers=(2, 1, 0), in_flight=1),
        Line(choice=STICKY, bucket=None, numbers=(5, 1, 0), in_flight=1),
    ]
    [delta] = recover(account(lines), {"digits/int8"})
    part = Count(requests=2, errors=2)
    assert delta.counts == {STICKY: Count(requests=5, errors=2, keys={9: part})}


@pytest.mark.parametrize(
    ("running", "errors", "died"),
    [
        ((), (0, 0), ()),
        (("digits/int8",), (0, 3), ("int8",)),
        (("digits/fp32",), (4, 0), ("fp32",)),
        (("digits/fp32", "digits/int8"), (4, 3), ("fp32", "int8")),
        (("other/int8",), (0, 0), ()),
    ],
    ids=["none", "candidate", "baseline", "both", "another model's"],
)
def test_what_was_in_flight_failed_where_its_variant_ran(
    running: tuple[str, ...], errors: tuple[int, int], died: tuple[str, ...]
) -> None:
    """Requests in flight of a running variant count as errors, and those of an idle one do not."""
    lines = [line("fp32", (10, 0, 0), 4), line("int8", (10, 0, 0), 3)]
    [delta] = recover(account(lines), running)
    found = tuple(delta.counts[2, False, variant].errors for variant in ("fp32", "int8"))
    assert (found, delta.died) == (errors, died)


def test_a_death_without_a_request_is_told() -> None:
    """A gateway that died without requests is reported with its running variant."""
    [delta] = recover(account([], []), {"digits/int8"})
    assert (delta.number, delta.counts, delta.died) == (8, {}, ("int8",))


def test_who_owes_nothing_tells_nothing() -> None:
    """A journal without counts and runs gives no delta."""
    assert list(recover(account([line("int8", (0, 0, 0))]), ())) == []


def test_they_are_told_until_they_are_written_down(folder: Path) -> None:
    """Recovered deltas are repeated until they are written; then the journal is deleted."""
    killed_after(folder, 20)
    rounds: list[list[tuple[str, str, CountDelta]]] = []

    def take(model: str, gateway: str, delta: CountDelta) -> bool:
        rounds[-1].append((model, gateway, delta))
        return len(rounds) < 3

    unreported = UnreportedCounts(folder.parent)
    for _ in range(4):
        rounds.append([])
        unreported.deliver(take)
    assert rounds[0] == rounds[1] == rounds[2] != rounds[3] == []
    assert {(model, gateway) for model, gateway, _ in rounds[0]} == {("digits", "one")}
    assert left(folder) == ["server.lock"]


def test_another_keeper_tells_the_same(folder: Path) -> None:
    """Two keepers recover the same deltas from a journal."""
    killed_after(folder, 150)
    assert told(UnreportedCounts(folder.parent)) == told(UnreportedCounts(folder.parent)) != []


def test_a_server_that_stopped_or_was_killed_is_no_candidates_fault(tmp_path: Path) -> None:
    """A candidate is not blamed if its whole server stopped; the next server uses the counts and deletes the
    journal."""
    lock = lock_folder(tmp_path / "cw-1")
    killed_after(tmp_path / "cw-1", 20)
    [*_, blamed] = told(UnreportedCounts(tmp_path))
    os.close(lock)
    unreported = UnreportedCounts(tmp_path)
    [*_, last] = told(unreported)
    assert (blamed.died, last.died) == (("int8",), ())
    assert sum(count.errors for count in blamed.counts.values()) > sum(
        count.errors for count in last.counts.values()
    )
    unreported.deliver(lambda *_: False)
    assert not tmp_path.exists() or list(tmp_path.iterdir()) == []


def test_of_the_living_nothing_is_told(folder: Path) -> None:
    """The journals of running gateways are not read."""
    journal = Journal(folder, "one")
    journal.counter("digits", WATCH).admit((2, False, "int8"), None)
    assert told(UnreportedCounts(folder.parent)) == []


def test_a_journal_that_cannot_be_read_is_given_up(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A journal that cannot be read is logged and deleted."""
    killed_after(folder, 20)
    [ledger] = folder.glob("*.ledger")
    ledger.write_bytes(b"{")
    assert told(UnreportedCounts(folder.parent)) == []
    assert "cannot be read" in caplog.text
    assert left(folder) == ["server.lock"]


def test_a_journal_that_cannot_be_deleted_waits_for_the_next_look(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal that cannot be deleted is deleted at a later look."""

    def refuse(folder: Path, gateway: str) -> None:
        raise OSError("read-only file system")

    killed_after(folder, 20)
    unreported = UnreportedCounts(folder.parent)
    with monkeypatch.context() as patched:
        patched.setattr("serve.rollout.unreported_counts.delete_journal", refuse)
        unreported.deliver(lambda *_: False)
    assert "read-only file system" in caplog.text
    unreported.deliver(lambda *_: False)
    assert left(folder) == ["server.lock"]
