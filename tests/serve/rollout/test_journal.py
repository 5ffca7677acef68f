"""What a gateway leaves when it is killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from serve.rollout.journal import Journal, delete_journal, find_dead, read_accounts, read_running
from serve.rollout.ledger import Account

ROOT = Path(__file__).parents[3]


@contextmanager
def counting(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A gateway of its own process that counts all the time."""
    command = [sys.executable, "-m", "tests.serve.rollout.diary", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def killed_after(folder: Path, counts: int) -> int:
    """Kill -9 a gateway that has counted so often at least; how often it did."""
    with counting(folder) as process:
        assert process.stdout is not None
        said = len(process.stdout.read(counts))
        assert said == counts
        process.kill()
        return said + len(process.stdout.read())


def total(account: Account, name: str) -> int:
    return sum(getattr(line, name) for lines in account.sheets.values() for line in lines)


@pytest.mark.parametrize("counts", [20, 120, 160, 3333])
def test_nothing_is_lost_when_a_gateway_is_killed(tmp_path: Path, counts: int) -> None:
    """All since the last sheet that was acknowledged is there: what it said that it had counted, and at most
    the one that it had no time to say."""
    said = killed_after(tmp_path, counts)
    [account] = read_accounts(tmp_path, "one")
    acknowledged = min(account.sheets) - 1
    requests = total(account, "requests") + 100 * acknowledged
    assert requests in (said, said + 1)
    # Every third hangs, whatever sheet it was admitted in.
    assert total(account, "in_flight") in (requests // 3, requests // 3 + 1)
    assert abs(total(account, "errors") - (requests - 100 * acknowledged) / 3) < 2


def test_what_ran_when_it_was_killed_is_known(tmp_path: Path) -> None:
    """By its name, and nothing else."""
    killed_after(tmp_path, 10)
    assert read_running(tmp_path, "one") == {"digits/int8"}


def test_only_a_gateway_that_is_gone_is_dead(tmp_path: Path) -> None:
    """However long it says nothing; its lock goes with its process."""
    with counting(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        alive = find_dead(tmp_path)
        process.kill()
        process.wait()
    assert (alive, find_dead(tmp_path)) == ([], ["one"])


def test_of_a_deleted_journal_nothing_is_left(tmp_path: Path) -> None:
    """And what others have left stays."""
    killed_after(tmp_path, 10)
    other = Journal(tmp_path, "other")
    other.ledger("digits", "r1", "fp32", "int8")
    delete_journal(tmp_path, "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.1.ledger", "other.runs"]


def test_runs_in_many_threads_leave_no_mark(tmp_path: Path) -> None:
    """Each that ended is off the journal."""
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
    """The one that still runs when the other has ended is seen."""
    journal = Journal(tmp_path, "one")
    old, new = journal.mark("digits/int8"), journal.mark("digits/int8")
    with old:
        with new:
            pass
        assert read_running(tmp_path, "one") == {"digits/int8"}


def test_names_without_end_fill_nothing(tmp_path: Path) -> None:
    """What comes after the first 256 is not marked, and marks nobody else."""
    journal = Journal(tmp_path, "one")
    marks = [journal.mark(f"digits/v{number}") for number in range(300)]
    with marks[255], marks[256], marks[299]:
        assert read_running(tmp_path, "one") == {"digits/v255"}
