"""A gateway's ledger has the counts that it has not reported."""

from pathlib import Path

import pytest

from serve.counting.ledger import Ledger, read_ledger

HEADER = {"model": "digits", "rollout": "r1", "baseline": "fp32", "candidate": "int8"}
CANDIDATE = (2, False, "int8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one.1.ledger"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(path, HEADER)


class Counting:
    """Counts one choice as a counter does, delta by delta."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.numbers = [0, 0, 0]

    def begin(self) -> None:
        """Admit a request."""
        self.numbers[0] += 1
        self.ledger.begin(CANDIDATE, None, [self.numbers])

    def fail(self) -> None:
        """Admit a request, which then fails."""
        self.numbers[1] += 1
        self.ledger.end(CANDIDATE, None, [self.numbers])

    def answer(self, times: int) -> None:
        """Admit and answer `times` requests."""
        for _ in range(times):
            self.begin()
            self.ledger.end(CANDIDATE, None, [])

    def turn(self, number: int) -> None:
        """Start a new delta."""
        self.ledger.turn(number)
        self.numbers = [0, 0, 0]


def requests(path: Path) -> dict[int, int]:
    """Return the number of requests in the ledger by delta."""
    return {
        number: sum(line.numbers[0] for line in lines) for number, lines in read_ledger(path).deltas.items()
    }


def test_it_says_whose_counts_these_are(ledger: Ledger, path: Path) -> None:
    """The ledger names its model, rollout, baseline and candidate."""
    account = read_ledger(path)
    told = (account.model, account.rollout, account.baseline, account.candidate)
    assert told == ("digits", "r1", "fp32", "int8")


def test_numbers_stand_by_choice_and_by_bucket(ledger: Ledger, path: Path) -> None:
    """The ledger has the last numbers of each choice and bucket, and the requests in flight."""
    sticky = (3, True, "fp32")
    ledger.begin(sticky, 1023, [(7, 0, 0), (1, 0, 0)])
    ledger.begin(sticky, 1023, [(8, 0, 0), (2, 0, 0)])
    ledger.end(sticky, 1023, [(8, 1, 1), (2, 1, 1)])
    ledger.begin(CANDIDATE, None, [(1, 0, 0)])
    ledger.end(CANDIDATE, None, [])
    lines = {(line.choice, line.bucket): line for line in read_ledger(path).deltas[1]}
    assert {key: (line.numbers, line.in_flight) for key, line in lines.items()} == {
        (sticky, None): ([8, 1, 1], 1),
        (sticky, 1023): ([2, 1, 1], 1),
        (CANDIDATE, None): ([1, 0, 0], 0),
    }


def test_a_sheet_is_kept_until_it_is_acknowledged(ledger: Ledger, path: Path) -> None:
    """A delta stays in the ledger until it is acknowledged, apart from the next one."""
    counting, seen = Counting(ledger), []
    for number in range(1, 4):
        counting.answer(number)
        counting.turn(number)
        counting.answer(10)
        seen.append(requests(path))
        ledger.acknowledge(number)
        seen.append(requests(path))
    assert seen == [{1: 1, 2: 10}, {2: 10}, {2: 12, 3: 10}, {3: 10}, {3: 13, 4: 10}, {4: 10}]


def test_a_request_is_in_flight_until_it_ends(ledger: Ledger, path: Path) -> None:
    """A request stays in flight after its delta was acknowledged, and its error is in the later delta."""
    counting = Counting(ledger)
    counting.begin()
    counting.turn(1)
    ledger.acknowledge(1)
    [waits] = read_ledger(path).deltas[2]
    counting.fail()
    [failed] = read_ledger(path).deltas[2]
    assert (waits.numbers, waits.in_flight) == ([0, 0, 0], 1)
    assert (failed.numbers, failed.in_flight) == ([0, 1, 0], 0)


def test_a_third_variant_counts_for_nobody(ledger: Ledger, path: Path) -> None:
    """Requests of a variant outside the rollout are not counted."""
    ledger.begin((1, False, "slim"), None, [(1, 0, 0)])
    assert read_ledger(path).deltas == {1: []}


def test_a_ledger_grows_with_neither_time_nor_keys(ledger: Ledger, path: Path) -> None:
    """The file keeps its size: sums continue when no bucket is free, and acknowledged rows are used again."""
    size = path.stat().st_size
    for number in range(1, 4):
        for bucket in range(5000):
            choice = (number, True, "int8")
            ledger.begin(choice, bucket, [(bucket + 1, 0, 0), (1, 0, 0)])
            ledger.end(choice, bucket, [])
        lines = {line.bucket: line.numbers[0] for line in read_ledger(path).deltas[number]}
        assert (lines[None], len(lines)) == (5000, 4096 - 64)
        ledger.turn(number)
        ledger.acknowledge(number)
    assert path.stat().st_size == size < 500_000


def test_where_there_is_no_room_nothing_is_left(path: Path) -> None:
    """If the folder does not exist, no file is left."""
    with pytest.raises(FileNotFoundError):
        Ledger(path.parent / "nowhere" / path.name, HEADER)
    assert list(path.parent.iterdir()) == []


def test_what_is_over_is_deleted(ledger: Ledger, path: Path) -> None:
    """Closing a ledger deletes it; a request that ends later does no harm."""
    counting = Counting(ledger)
    counting.begin()
    ledger.close()
    counting.fail()
    assert list(path.parent.iterdir()) == []
