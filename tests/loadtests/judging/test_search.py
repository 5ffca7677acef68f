import math
from collections.abc import Callable

import numpy as np
import pytest

from loadtests.capacity_record import Probe
from loadtests.judging.search import CONFIRMATIONS, GAP, PAUSES_S, RateTrial, SearchResult, next_trial
from loadtests.load_verdict import CheckOutcome
from loadtests.variant_report import Interval

PASS, FAIL, INVALID = CheckOutcome.PASS, CheckOutcome.FAIL, CheckOutcome.INVALID
# The outcome of a trial, given the trial and its number, counted from 0.
Server = Callable[[RateTrial, int], CheckOutcome]


def _probe(trial: RateTrial, outcome: CheckOutcome, number: int) -> Probe:
    return Probe(
        variant="fp32",
        stage=trial.stage,
        rate_per_s=trial.rate_per_s,
        seed=number,
        duration_s=10,
        outcome=outcome,
        reason=f"it is {outcome}",
        requests=100,
        errors=0,
        over_limit=Interval(value=0, low=0, high=0.01),
        completed=1,
        p50_ms=1,
        p99_ms=2,
    )


def _search(server: Server, start_per_s: float = 20) -> tuple[SearchResult, list[Probe]]:
    """Where a search on this server ends, and its probes."""
    probes: list[Probe] = []
    while not isinstance(trial := next_trial(probes, start_per_s), SearchResult):
        probes.append(_probe(trial, server(trial, len(probes)), len(probes)))
        assert len(probes) <= 150
    return trial, probes


def _rate(probe: Probe | None) -> float:
    assert probe is not None
    return probe.rate_per_s


def _cliff(per_s: float) -> Server:
    return lambda trial, _: PASS if trial.rate_per_s <= per_s else FAIL


@pytest.mark.parametrize("start_per_s", [1, 20, 49.9, 50.1, 777, 20_000])
def test_a_cliff_is_found_within_a_twentieth(start_per_s: float) -> None:
    """The rate found is at most 5 % below the limit of 50/s and confirmed, wherever the search starts."""
    found, _ = _search(_cliff(50), start_per_s)
    assert found.trouble is None
    assert 50 / GAP <= _rate(found.passed) <= 50
    assert 50 < _rate(found.breach) <= _rate(found.passed) * GAP
    assert found.confirmed == CONFIRMATIONS


def test_a_search_is_short() -> None:
    """The search of a limit of 50/s takes 14 probes.

    20, 40, 80, then four times half of the gap; three failures are repeated, three probes confirm, and the
    lowest failure is repeated once more."""
    _, probes = _search(_cliff(50))
    assert len(probes) == 14
    assert [probe.stage for probe in probes[-4:]] == ["confirm"] * CONFIRMATIONS + ["search"]


def test_a_failure_in_a_bad_minute_is_taken_back() -> None:
    """A failure during a slow start is tried again, and the search continues upwards."""
    found, _ = _search(lambda trial, number: _cliff(50 if number < 8 else 200)(trial, number))
    assert 200 / GAP <= _rate(found.passed) <= 200


def test_fresh_seeds_confirm() -> None:
    """Each confirmation has a seed of its own."""
    found, probes = _search(_cliff(50))
    confirmations = [probe for probe in probes if probe.stage == "confirm"]
    assert {probe.rate_per_s for probe in confirmations} == {_rate(found.passed)}
    assert len({probe.seed for probe in confirmations}) == CONFIRMATIONS


@pytest.mark.parametrize("seed", range(20))
def test_a_smooth_boundary_is_found(seed: int) -> None:
    """If rates near 50/s pass with a smooth probability, the search returns one between 40 and 53/s."""
    rng = np.random.default_rng(seed)

    def server(trial: RateTrial, _: int) -> CheckOutcome:
        passes = 1 / (1 + math.exp(0.44 * (trial.rate_per_s - 50)))
        return PASS if rng.random() < passes else FAIL

    found, _ = _search(server)
    assert found.trouble is None
    assert 40 <= _rate(found.passed) <= 53


def test_one_false_failure_in_ten_does_not_move_the_boundary() -> None:
    """With 10 % false failures, none of 100 searches ends above the true 50/s, and 90 within two steps below.

    A rate fails after two failures before it passed more often: 0.1 * (0.1 + 0.9 * 0.1) = 2 % of good
    rates fail in the search, and some 6 % in their three confirmations; most of those end one step lower."""
    near = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)

        def server(trial: RateTrial, _: int, rng: np.random.Generator = rng) -> CheckOutcome:
            return PASS if trial.rate_per_s <= 50 and rng.random() >= 0.1 else FAIL

        found, _ = _search(server)
        assert found.trouble is None
        assert _rate(found.passed) <= 50
        near += _rate(found.passed) >= 50 / GAP**2
    assert near >= 90


def test_a_rate_that_fails_its_confirmation_twice_is_given_up() -> None:
    """After two failed confirmations the search finds and confirms a lower rate."""
    found, probes = _search(
        lambda trial, _: (
            FAIL if trial.rate_per_s > 50 or (trial.stage == "confirm" and trial.rate_per_s > 45) else PASS
        )
    )
    assert _rate(found.passed) <= 45
    assert found.confirmed == CONFIRMATIONS
    assert max(probe.rate_per_s for probe in probes if probe.stage == "confirm") > 45


def test_a_server_that_always_fails_has_no_rate() -> None:
    """A server that always fails has no capacity, and the search goes down below one request a second."""
    found, probes = _search(lambda trial, _: FAIL)
    assert (found.passed, found.trouble, found.confirmed) == (None, None, 0)
    assert _rate(found.breach) == min(probe.rate_per_s for probe in probes) < 1


def test_a_server_that_never_fails_is_not_searched_for_ever() -> None:
    """The search ends below 100,000/s if no rate fails."""
    found, probes = _search(lambda trial, _: PASS)
    assert found.breach is None
    assert 50_000 < _rate(found.passed) <= 100_000
    assert len(probes) < 20


def test_our_own_trouble_is_tried_again() -> None:
    """The search finds the same rate if two INVALID probes precede each valid one."""
    found, _ = _search(lambda trial, number: INVALID if number % 3 else _cliff(50)(trial, number))
    assert found.trouble is None
    assert 50 / GAP <= _rate(found.passed) <= 50


def test_after_each_invalid_in_a_row_it_waits_longer() -> None:
    """The pause grows with each INVALID probe in a row, and is 0 after a valid one."""
    pauses: list[float] = []

    def server(trial: RateTrial, number: int) -> CheckOutcome:
        pauses.append(trial.pause_s)
        return INVALID if number in {1, 2, 4} else _cliff(50)(trial, number)

    _search(server)
    assert pauses[:7] == [0, 0, PAUSES_S[0], PAUSES_S[1], 0, PAUSES_S[0], 0]
    assert list(PAUSES_S) == sorted(PAUSES_S)


def test_more_invalid_in_a_row_than_it_waits_for_are_trouble() -> None:
    """After too many INVALID probes the search ends with the reason and the last rate that passed."""
    found, probes = _search(lambda trial, number: PASS if number < 2 else INVALID)
    assert found.trouble == "at 80/s: it is INVALID"
    assert _rate(found.passed) == 40
    assert len(probes) == 2 + len(PAUSES_S) + 1


def test_a_boundary_that_moves_is_trouble_after_50_probes() -> None:
    """A limit that falls by 3 % with each probe ends the search after 50 probes."""
    limit = {"per_s": 1e4}

    def server(trial: RateTrial, _: int) -> CheckOutcome:
        limit["per_s"] *= 0.97
        return PASS if trial.rate_per_s <= limit["per_s"] else FAIL

    found, probes = _search(server, 5000)
    assert found.trouble is not None
    assert "50 probes did not settle it" in found.trouble
    assert len(probes) == 50
