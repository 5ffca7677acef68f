"""The journal that a killed gateway leaves."""

import os
from pathlib import Path
from threading import Thread

import pytest

from serve.counting.journal import (
    Journal,
    clear,
    delete_journal,
    find_dead,
    is_in_use,
    lock_folder,
    read_accounts,
    read_running,
)
from tests.serve.rollout.journal_process import WATCH, counting, killed_after


@pytest.mark.parametrize("counts", [20, 120, 160, 3333])
def test_nothing_is_lost_when_a_gateway_is_killed(tmp_path: Path, counts: int) -> None:
    """The journal of a killed gateway has all unacknowledged counts, at most one more than it had
    reported."""
    said = killed_after(tmp_path, counts)
    [account] = read_accounts(tmp_path, "one")
    whole = [line for lines in account.deltas.values() for line in lines if line.bucket is None]
    told = 100 * (min(account.deltas) - 1)
    requests = told + sum(line.numbers[0] for line in whole)
    assert requests in (said, said + 1)
    # One request of three fails and one hangs, whichever delta admitted it.
    errors = sum(line.numbers[1] for line in whole)
    assert abs(errors - (requests - told) / 3) < 2
    assert abs(sum(line.in_flight for line in whole) - requests / 3) < 2


def test_what_ran_when_it_was_killed_is_known(tmp_path: Path) -> None:
    """The journal names the variants that ran when the gateway was killed."""
    killed_after(tmp_path, 10)
    assert read_running(tmp_path, "one") == {"digits/int8"}


def test_only_a_gateway_that_is_gone_is_dead(tmp_path: Path) -> None:
    """A gateway is dead once its process has ended, however long it was silent before."""
    with counting(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        alive = find_dead(tmp_path)
        process.kill()
        process.wait()
    assert (alive, find_dead(tmp_path)) == ([], ["one"])


def test_of_a_deleted_journal_nothing_is_left(tmp_path: Path) -> None:
    """Deleting a journal removes its files and keeps those of other gateways."""
    killed_after(tmp_path, 10)
    other = Journal(tmp_path, "other")
    other.counter("digits", WATCH)
    delete_journal(tmp_path, "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.1.ledger", "other.runs"]


def test_runs_in_many_threads_leave_no_mark(tmp_path: Path) -> None:
    """After runs in four threads the journal has no running variant."""
    journal = Journal(tmp_path, "one")
    mark = journal.mark("digits/int8")

    def run() -> None:
        for _ in range(2000):
            with mark:
                pass

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_running(tmp_path, "one") == frozenset()
    with mark:
        assert read_running(tmp_path, "one") == {"digits/int8"}


def test_two_versions_of_a_variant_are_one(tmp_path: Path) -> None:
    """A variant still runs while any version of it runs."""
    journal = Journal(tmp_path, "one")
    old, new = journal.mark("digits/int8"), journal.mark("digits/int8")
    with old:
        with new:
            pass
        assert read_running(tmp_path, "one") == {"digits/int8"}


def test_names_without_end_fill_nothing(tmp_path: Path) -> None:
    """At most 256 names are marked; a further name marks nothing."""
    journal = Journal(tmp_path, "one")
    marks = [journal.mark(f"digits/v{number}") for number in range(300)]
    with marks[255], marks[256], marks[299]:
        assert read_running(tmp_path, "one") == {"digits/v255"}


def test_a_server_stands_until_its_lock_goes(tmp_path: Path) -> None:
    """A server stands as long as it holds its lock; a folder without a lock has no server."""
    folder = tmp_path / "cw-1"
    lock = lock_folder(folder)
    before = is_in_use(folder)
    os.close(lock)
    assert (before, is_in_use(folder), is_in_use(tmp_path)) == (True, False, False)


def test_of_a_server_that_stops_only_what_is_of_use_stays(tmp_path: Path) -> None:
    """A stopping server keeps the ledgers of running rollouts and removes empty folders."""
    one, two = tmp_path / "gateways" / "cw-1", tmp_path / "gateways" / "cw-2"
    for folder in (one, two):
        os.close(lock_folder(folder))
        Journal(folder, "g")
    Journal(one, "h").counter("digits", WATCH)
    clear(one)
    clear(two)
    assert [path.name for path in one.parent.iterdir()] == ["cw-1"]
    delete_journal(one, "h")
    assert list(tmp_path.iterdir()) == []
