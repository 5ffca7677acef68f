"""Stalls are compared by their number, and a stall that does not end counts as harm."""

import numpy as np
import pytest

from serve.rollout.evidence.stalls import Stalls, lasting_s, log_endless, log_more, shows, waits


def stalls(baseline: int, candidate: int, lasted_s: float = 0.0) -> Stalls:
    """Stalls that last half a minute."""
    return Stalls(np.array([baseline, candidate], float), np.array(lasted_s), 30.0)


@pytest.mark.parametrize(("baseline", "candidate", "shown"), [(0, 4, False), (9, 11, False), (0, 30, True)])
def test_only_many_more_stalls_are_harm(baseline: int, candidate: int, shown: bool) -> None:
    """A surplus of stalls is harm at odds of 300, whatever the candidate's share is."""
    assert (log_more(stalls(baseline, candidate)) >= np.log(300)) == shown


@pytest.mark.parametrize(("lasted_s", "shown"), [(90.0, False), (240.0, True)])
def test_a_stall_that_does_not_end_is_harm(lasted_s: float, shown: bool) -> None:
    """A stall is harm once it lasts several times as long as a stall may."""
    assert (log_endless(stalls(0, 0, lasted_s)) >= np.log(300)) == shown


def test_stalls_that_end_by_chance_are_hardly_ever_taken_for_endless() -> None:
    """Of 20,000 rollouts with 40 random stalls, at most 1 % plus four deviations find an endless one."""
    lasted_s = np.random.default_rng(2).exponential(30.0, (20_000, 40))
    before = Stalls(np.stack([np.zeros(40), np.arange(40.0)], -1), lasted_s, 30.0)
    assert (log_endless(before) >= np.log(100)).any(-1).mean() <= 0.01 + 4 * (0.01 / 20_000) ** 0.5


@pytest.mark.parametrize(
    ("replicas", "share", "lasts_s"), [(1, 0.5, 30.0), (1, 0.2, 10.0), (4, 0.2, 30.0), (4, 0.05, 10.0)]
)
def test_what_stops_no_replica_may_not_last_as_long(replicas: int, share: float, lasts_s: float) -> None:
    """A stall that hits less than a replica's share of the requests may last less long."""
    hit = np.array(1000.0)
    assert lasting_s(share * hit, hit, 30.0, replicas) == lasts_s


def test_few_requests_do_not_tell_what_was_hit() -> None:
    """One hit of five requests is too few to estimate the share that a stall hits."""
    assert lasting_s(np.array(1.0), np.array(5.0), 30.0, 1) == 30.0


def test_a_stall_under_way_holds_the_rollout() -> None:
    """A stall in progress, or 12 more stalls than the baseline's, makes the rollout wait; one more does
    not."""
    assert waits(stalls(0, 0, 5.0))
    assert waits(stalls(0, 12))
    assert not waits(stalls(1, 2))


def test_chance_is_no_stall() -> None:
    """In a day of random events, at 0.5 a second, fewer than one second counts as a stall."""
    events = np.random.default_rng(3).poisson(0.5, 86_400).astype(float)
    assert (events >= 4).sum() > 100
    assert shows(events, np.full(events.shape, 0.5), np.ones(())).sum() < 1


@pytest.mark.parametrize("hit", [3.0, 6.0, 12.0])
def test_a_stall_counts_the_same_whichever_variant_has_it(hit: float) -> None:
    """A stall is found nearly as often, whichever variant has nine times the requests."""
    rng, calm = np.random.default_rng(4), 0.2
    few = shows(rng.poisson(hit, 20_000).astype(float), np.array(calm), np.array(1.0)).mean()
    many = shows(rng.poisson(9 * hit, 20_000).astype(float), np.array(9 * calm), np.array(1 / 9)).mean()
    assert abs(few - many) < 0.1
