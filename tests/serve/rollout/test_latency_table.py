"""Reduced runs of the table in tests/serve/rollout/latency_table.py."""

import numpy as np
import pytest

from serve.rollout.policy import Policy
from tests.serve.rollout.latency_table import Slow, median_doubled, same, simulate_slow, slower, tail_doubled


@pytest.mark.parametrize(("day_s", "incidents"), [(3600.0, False), (0.0, True)], ids=str)
def test_an_equal_candidate_is_hardly_ever_rolled_back(day_s: float, incidents: bool) -> None:
    """All latencies go up and down by half within the hour, or are ten times as long for 20 s every ten
    minutes: of 100 runs at most 1 % + 4 sqrt(0.01 / 100) end in a rollback, which are 5."""
    scenario = Slow(name="equal", requests_per_s=10, seconds=3600, tick_s=4, day_s=day_s, incidents=incidents)
    ended = simulate_slow(scenario, Policy(), runs=100, seed=3)
    assert (ended.rolled_back_s >= 0).sum() <= 5


@pytest.mark.parametrize("candidate", [median_doubled, tail_doubled, slower(2)])
def test_a_slower_candidate_is_rolled_back(candidate: object) -> None:
    """The median alone, the tail alone, or all: every one of 60 runs within the hour."""
    scenario = Slow(
        name="slow",
        requests_per_s=20,
        seconds=3600,
        candidate=candidate,  # type: ignore[arg-type]
    )
    ended = simulate_slow(scenario, Policy(), runs=60, seed=3)
    assert (ended.rolled_back_s >= 0).all()


def test_an_equal_candidate_at_one_request_a_second_gets_there() -> None:
    """Out of its first step to the end within the day, without a fixed limit: every one of 20 runs."""
    scenario = Slow(
        name="equal", requests_per_s=1, seconds=86_400, tick_s=20, look=15, fixed=False, candidate=same
    )
    ended = simulate_slow(scenario, Policy(), runs=20, seed=3)
    assert (ended.done_s >= 0).all()
    assert np.median(ended.done_s) < 43_200
