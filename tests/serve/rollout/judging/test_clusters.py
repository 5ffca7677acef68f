"""With sticky keys, the test compares which buckets move, given the counts of all of them."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from serve.rollout.evidence.evalues import Array
from serve.rollout.judging.clusters import Keyed, compare, log_above, log_below

BUCKETS = 200
HALF = np.array([0.0, 0.5])


def keyed(ratio: float, *, runs: int, past: float, seed: int, poison: float = 0.0) -> Keyed:
    """Return runs of 200 buckets, half of them the candidate's. Each has its own rate, lognormal around 2 %,
    and `past` times as many earlier requests; a share `poison` of them always fails."""
    rng = np.random.default_rng(seed)
    rate = np.minimum(0.02 * rng.lognormal(-0.5, 1.0, (runs, BUCKETS)), 1)
    rate = np.where(rng.random((runs, BUCKETS)) < poison, 1.0, rate)
    mine = rng.random((runs, BUCKETS)) < 0.5
    many = rng.poisson(300, (runs, BUCKETS))
    before = rng.poisson(300 * past, (runs, BUCKETS))
    now = np.stack([many * ~mine, many * mine], 1)
    rates = np.stack([rate, np.minimum(rate * ratio, 1)], 1)
    requests = np.stack([np.stack([before, 0 * before], 1), now], 2)
    events = rng.binomial(requests, rates[:, :, None, :])
    return compare(requests.astype(float), events.astype(float), HALF)


def placed(done: Array, moves: Sequence[int]) -> Array:
    """What each bucket did [segment, bucket], by who had it: the candidate from the segment in `moves` on."""
    there = np.arange(len(done))[:, None] >= np.array(moves)
    return np.stack([done * ~there, done * there])


@pytest.mark.parametrize("seed", range(5))
def test_the_odds_are_fair_whatever_the_buckets_do(seed: int) -> None:
    """The mean odds over all assignments of five buckets to steps, weighted by probability, are 1."""
    rng = np.random.default_rng(seed)
    shares, requests = np.array([0.0, 0.2, 0.6]), rng.integers(1, 90, (3, 5))
    events = rng.binomial(requests, np.where(np.arange(5) == 2, 1.0, 0.1)).astype(float)
    likely = {1: 0.2, 2: 0.4, 3: 0.4}
    total = np.zeros(2)
    for moves in product(likely, repeat=5):
        found = compare(placed(requests.astype(float), moves), placed(events, moves), shares)
        odds = np.exp([log_above(found, 1.0), log_below(found, 1.0)])
        total += np.prod([likely[move] for move in moves]) * odds
    assert total == pytest.approx([1, 1], abs=1e-9)


@pytest.mark.parametrize(("past", "poison"), [(0.0, 0.0), (1.0, 0.0), (0.0, 0.02), (1.0, 0.02)])
def test_equal_variants_are_hardly_ever_told_apart(past: float, poison: float) -> None:
    """At odds of 100, at most 1 % of 1,000 runs with equal variants show harm, plus four deviations."""
    evidence = log_above(keyed(1.0, runs=1000, past=past, seed=4, poison=poison), 1.0)
    assert (evidence >= np.log(100)).mean() <= 0.01 + 4 * (0.01 / 1000) ** 0.5


def test_twice_the_rate_is_found_by_what_the_keys_did_before() -> None:
    """Twice the rate is shown in more than 95 % of 200 runs with a past, and later without one."""
    known, unknown = (log_above(keyed(2.0, runs=200, past=past, seed=5), 1.0) for past in (3.0, 0.0))
    assert (known >= np.log(300)).mean() > 0.95
    assert np.median(unknown) < np.median(known) / 2


def test_equal_variants_are_shown_to_be_equal() -> None:
    """Equal variants are shown to be below 1.5 times in more than 95 % of 200 runs, at odds of 20."""
    assert (log_below(keyed(1.0, runs=200, past=10.0, seed=6), 1.5) >= np.log(20)).mean() > 0.95


def test_one_user_proves_nothing() -> None:
    """Failures of a single key are no evidence at odds of 20."""
    requests, events = np.zeros((2, 2, 50)), np.zeros((2, 2, 50))
    requests[0, 1, :25], requests[1, 1, 25:] = 1000.0, 1000.0
    events[0, 1, :25], events[1, 1, 25:], events[1, 1, 30] = 2.0, 2.0, 1000.0
    assert log_above(compare(requests, events, HALF), 1.0) < np.log(20)


def test_what_everybody_does_more_often_now_is_no_harm() -> None:
    """Three times the errors in both variants is no harm."""
    requests, moves = np.full((2, BUCKETS), 1000.0), [1 + bucket % 2 for bucket in range(BUCKETS)]
    events = np.array([[10], [30]]) * np.ones(BUCKETS)
    found = compare(placed(requests, moves), placed(events, moves), HALF)
    assert log_above(found, 1.0) <= 0
    assert log_below(found, 1.5) > np.log(20)
