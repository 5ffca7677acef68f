"""Keys that stick: the key is the unit, and its own past what it is held against."""

import numpy as np
import pytest

from serve.rollout.clusters import Keyed, compare, log_above, log_below

BUCKETS = 200


def keyed(ratio: float, *, runs: int, past: float, seed: int, poison: float = 0.0) -> Keyed:
    """Runs of 200 buckets, half of them the candidate's: each has a rate of its own, lognormal round 2 %, and
    `past` times as many requests before as now; a share `poison` of them always fails."""
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
    return compare(requests.astype(float), events.astype(float))


@pytest.mark.parametrize(("past", "poison"), [(0.0, 0.0), (1.0, 0.0), (0.0, 0.02), (1.0, 0.02)])
def test_equal_variants_are_hardly_ever_told_apart(past: float, poison: float) -> None:
    """At odds of 100 in at most 1 % of 1,000 runs, plus four standard deviations, users that always fail
    included."""
    evidence = log_above(keyed(1.0, runs=1000, past=past, seed=4, poison=poison), 1.0)
    assert (evidence >= np.log(100)).mean() <= 0.01 + 4 * (0.01 / 1000) ** 0.5


def test_twice_the_rate_is_found_by_what_the_keys_did_before() -> None:
    """In more than 95 % of 200 runs; without a past users differ too much, and in less than half."""
    known, unknown = (keyed(2.0, runs=200, past=past, seed=5) for past in (3.0, 0.0))
    assert (log_above(known, 1.0) >= np.log(300)).mean() > 0.95
    assert (log_above(unknown, 1.0) >= np.log(300)).mean() < 0.5


def test_equal_variants_are_shown_to_be_equal() -> None:
    """Below 1.5 times, at odds of 20, in more than 95 % of 200 runs."""
    assert (log_below(keyed(1.0, runs=200, past=10.0, seed=6), 1.5) >= np.log(20)).mean() > 0.95


def test_one_user_proves_nothing() -> None:
    """All of the candidate's failures are one bucket's, which never was at the baseline."""
    requests, events = np.zeros((2, 1, 50)), np.zeros((2, 1, 50))
    requests[0, 0, :25], requests[1, 0, 25:] = 1000.0, 1000.0
    events[0, 0, :25], events[1, 0, 25:], events[1, 0, 30] = 2.0, 2.0, 1000.0
    assert log_above(compare(requests, events), 1.0) < np.log(20)


def test_the_estimate_is_the_ratio() -> None:
    """On average over 200 runs, within a tenth."""
    ratio = np.exp(keyed(2.0, runs=200, past=3.0, seed=7).ratio.mean())
    assert ratio == pytest.approx(2.0, rel=0.1)
