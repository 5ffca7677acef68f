"""What a gateway has counted and not told stands in its ledger."""

from pathlib import Path

import pytest

from serve.rollout.ledger import Ledger, Line, read_ledger

HEADER = {"model": "digits", "rollout": "r1", "baseline": "fp32", "candidate": "int8"}
CANDIDATE = (2, False, "int8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one.1.ledger"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(path, HEADER)


def count(ledger: Ledger, times: int = 1, *, failed: bool = False) -> None:
    for _ in range(times):
        ledger.end(ledger.begin(CANDIDATE), failed=failed, over_limit=False)


def requests(path: Path) -> dict[int, int]:
    """How many requests the ledger holds, by sheet."""
    return {
        number: sum(line.requests for line in lines) for number, lines in read_ledger(path).sheets.items()
    }


def test_it_says_whose_counts_these_are(ledger: Ledger, path: Path) -> None:
    """Model, rollout, baseline and candidate."""
    account = read_ledger(path)
    told = (account.model, account.rollout, account.baseline, account.candidate)
    assert told == ("digits", "r1", "fp32", "int8")


def test_requests_errors_and_those_in_flight_are_kept_apart(ledger: Ledger, path: Path) -> None:
    """By choice and by bucket."""
    ledger.begin((3, True, "fp32"), 1023)
    ledger.begin((3, True, "fp32"), 1023)
    ledger.end(ledger.begin((3, True, "fp32"), 1023), failed=True, over_limit=True)
    ledger.end(ledger.begin(CANDIDATE), failed=False, over_limit=True)
    assert sorted(read_ledger(path).sheets[1], key=lambda line: line.bucket) == [
        Line(choice=CANDIDATE, bucket=-1, requests=1, errors=0, over_limit=1, in_flight=0),
        Line(choice=(3, True, "fp32"), bucket=1023, requests=3, errors=1, over_limit=1, in_flight=2),
    ]


def test_a_sheet_is_kept_until_it_is_acknowledged(ledger: Ledger, path: Path) -> None:
    """Apart from the one that is counted meanwhile."""
    seen = []
    for number in range(1, 4):
        count(ledger, number)
        ledger.turn(number)
        count(ledger, 10)
        seen.append(requests(path))
        ledger.acknowledge(number)
        seen.append(requests(path))
    assert seen == [{1: 1, 2: 10}, {2: 10}, {2: 12, 3: 10}, {3: 10}, {3: 13, 4: 10}, {4: 10}]


def test_a_request_fails_in_the_sheet_that_is_counted_then(ledger: Ledger, path: Path) -> None:
    """Long after the sheet in which it was admitted was acknowledged; until then it is in flight."""
    row = ledger.begin(CANDIDATE)
    ledger.turn(1)
    ledger.acknowledge(1)
    [waits] = read_ledger(path).sheets[2]
    ledger.end(row, failed=True, over_limit=False)
    [failed] = read_ledger(path).sheets[2]
    assert (waits.requests, waits.errors, waits.in_flight) == (0, 0, 1)
    assert (failed.requests, failed.errors, failed.in_flight) == (0, 1, 0)


def test_a_third_variant_counts_for_nobody(ledger: Ledger, path: Path) -> None:
    """It may still have requests from before the rollout."""
    ledger.end(ledger.begin((1, False, "slim")), failed=True, over_limit=False)
    assert read_ledger(path).sheets == {1: []}


def test_a_ledger_grows_with_neither_time_nor_keys(ledger: Ledger, path: Path) -> None:
    """More buckets than there is room for are counted together; rows of acknowledged sheets serve again."""
    size = path.stat().st_size
    for number in range(1, 4):
        for bucket in range(5000):
            ledger.end(ledger.begin((number, True, "int8"), bucket), failed=False, over_limit=False)
        lines = read_ledger(path).sheets[number]
        together = [line.requests for line in lines if line.bucket == -1]
        assert (sum(line.requests for line in lines), together) == (5000, [5000 - 4096 + 64])
        ledger.turn(number)
        ledger.acknowledge(number)
    assert path.stat().st_size == size < 500_000


def test_where_there_is_no_room_nothing_is_left(path: Path) -> None:
    """Neither half a file nor a name that somebody would take for a gateway's."""
    with pytest.raises(FileNotFoundError):
        Ledger(path.parent / "nowhere" / path.name, HEADER)
    assert list(path.parent.iterdir()) == []


def test_what_is_over_is_deleted(ledger: Ledger, path: Path) -> None:
    """And a request that ends after it harms nobody."""
    row = ledger.begin(CANDIDATE)
    ledger.close()
    ledger.end(row, failed=True, over_limit=False)
    assert list(path.parent.iterdir()) == []
