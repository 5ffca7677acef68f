"""Reduced runs of the table in tests/serve/rollout/table.py. Bounds are those of the full table, widened by
what so few runs can stray: of n runs with a true rate p, more than p + 4 sqrt(p / n) come once in 10,000."""

from dataclasses import replace

import numpy as np
import pytest

from serve.rollout.advance import advance, promote
from serve.rollout.evidence import Cost, Events, Evidence, Pair, Segment
from serve.rollout.judge import judge
from serve.rollout.policy import Policy
from serve.rollout.rollout import Phase, Rollout
from tests.serve.rollout.rollouts import SHARES, begun
from tests.serve.rollout.simulate import Runs, Scenario, Whole, simulate, simulate_shadow


@pytest.mark.parametrize("bursts", ["none", "shared", "apart"])
@pytest.mark.parametrize("split", [0.1, None])
def test_an_equal_candidate_is_hardly_ever_rolled_back(bursts: str, split: float | None) -> None:
    """A look every five seconds for seven minutes, 100 runs: at most 1 % + 4 sqrt(0.01 / 100) are 5."""
    scenario = Scenario(requests_per_s=100, seconds=420, bursts=bursts, split=split)  # type: ignore[arg-type]
    assert (simulate(scenario, Policy(), runs=100, seed=2).rolled_back_s >= 0).sum() <= 5


@pytest.mark.parametrize("lasts_s", [10.0, 30.0])
def test_stalls_of_either_variant_roll_nobody_back(lasts_s: float) -> None:
    """Everything fails for as long, at the mean, once in five minutes: at most 5 of 100 runs, as above."""
    scenario = Scenario(requests_per_s=100, seconds=600, stalls_s=lasts_s)
    assert (simulate(scenario, Policy(), runs=100, seed=2).rolled_back_s >= 0).sum() <= 5


def test_twice_the_errors_are_caught_among_stalls() -> None:
    """At least 95 of 100 runs within a quarter of an hour, stalls of ten seconds or not."""
    scenario = Scenario(requests_per_s=100, seconds=900, errors=(0.02, 0.04), stalls_s=10.0)
    assert (simulate(scenario, Policy(), runs=100, seed=2).rolled_back_s >= 0).sum() >= 95


def test_three_times_the_errors_are_caught_soon() -> None:
    """2 % to 6 %: all 100 runs, median within 3,700 requests of the start (10 % more for so few runs)."""
    runs = simulate(
        Scenario(requests_per_s=10, seconds=3600, errors=(0.02, 0.06)), Policy(), runs=100, seed=2
    )
    requests = runs.requests.sum((0, 2))
    assert (runs.rolled_back_s >= 0).all()
    assert np.median(requests) <= 3700 * 1.1
    assert runs.requests[1].sum() / requests.sum() < 0.25


@pytest.mark.parametrize("errors", [0.1, 0.2, 0.5])
def test_many_errors_from_the_first_second_are_caught_at_the_first_step(errors: float) -> None:
    """All 100 runs before half of the policy's steps, though each failure may be the begin of a stall."""
    scenario = Scenario(requests_per_s=100, seconds=300, errors=(0.002, errors))
    runs = simulate(scenario, Policy(), runs=100, seed=2)
    assert (runs.rolled_back_s >= 0).all()
    assert np.median(runs.rolled_back_s) <= 80


def test_twice_the_latency_limit_is_caught() -> None:
    """A p99 at twice the limit: all runs, most before the candidate has had 100 requests."""
    scenario = Scenario(requests_per_s=10, seconds=3600, over_limit=(0.0028, 0.174))
    runs = simulate(scenario, Policy(), runs=100, seed=2)
    assert (runs.rolled_back_s >= 0).all()
    assert np.median(runs.requests[1].sum(-1)) < 100


def test_a_change_after_a_long_calm_is_seen_soon() -> None:
    """2 % to 4 % at 25 % of 100 requests a second, after an hour of calm: all 20 runs within ten minutes."""
    calm = Scenario(requests_per_s=100, seconds=3600, split=0.25, look_every_s=60)
    runs = Runs(calm, Policy(), np.random.default_rng(3), 20)
    for now_s in range(1, 3601):
        runs.tick(now_s)
    assert len(runs.alive) == 20
    runs.scenario = replace(calm, errors=(0.02, 0.04))
    for now_s in range(3601, 4201):
        runs.tick(now_s)
    assert len(runs.alive) == 0


def test_an_equal_and_cheaper_candidate_gets_there() -> None:
    """At least 95 % of 100 runs; four standard deviations of 100 draws at 99.5 % are 3 %."""
    runs = simulate(Scenario(requests_per_s=100, seconds=3600, cost=0.7), Policy(), runs=100, seed=2)
    assert (runs.done_s >= 0).mean() >= 0.95


def test_disagreement_is_caught_in_the_shadow() -> None:
    """5 % never gets past it, 0.5 % always does, where 2 % may."""
    back, on = simulate_shadow(Policy(), 0.05, pairs_per_s=10, runs=300, seed=2)
    assert np.isfinite(back).all()
    assert not np.isfinite(on).any()
    assert np.isfinite(simulate_shadow(Policy(), 0.005, pairs_per_s=10, runs=300, seed=2)[1]).all()


def tick(at: int, now_s: int, counted: dict[str, Whole], run: int) -> Segment:
    """What one run counted in a second, as the rollout stores it; the candidate costs half."""
    baseline, candidate = (int(count) for count in counted["requests"][:, run])
    return Segment(
        step=at,
        split=SHARES[at - 1],
        started_s=now_s - 1.0,
        ended_s=float(now_s),
        requests=Pair(baseline=baseline, candidate=candidate),
        errors=Events.tick(*(int(count) for count in counted["errors"][:, run])),
        over_limit=Events.tick(*(int(count) for count in counted["over_limit"][:, run])),
        baseline_cost=Cost.tick(baseline, 2.0 * baseline),
        candidate_cost=Cost.tick(candidate, 1.0 * candidate),
    )


@pytest.mark.parametrize("errors", [0.02, 0.05])
def test_the_simulation_is_the_rollout(errors: float) -> None:
    """Second by second, judge and advance do with stored sums what the arrays do, to good and to bad."""
    scenario = Scenario(requests_per_s=500, seconds=400, errors=(0.02, errors), cost=0.5, look_every_s=1)
    runs = Runs(scenario, Policy(), np.random.default_rng(4), 3)
    rollouts: list[Rollout] = [promote(begun(), "ann", 0.0) for _ in range(3)]
    evidence = [Evidence()] * 3
    for now_s in range(1, scenario.seconds + 1):
        alive = runs.alive
        counted = runs.tick(now_s)
        for place, run in enumerate(alive):
            evidence[run] = evidence[run].with_tick(tick(rollouts[run].step, now_s, counted, place))
            rollouts[run] = advance(rollouts[run], judge(rollouts[run], evidence[run], now_s), now_s)
        ends = {Phase.ROLLED_BACK: runs.rolled_back_s, Phase.WATCHING: runs.done_s}
        for run, rollout in enumerate(rollouts):
            assert all((ended_s[run] >= 0) == (rollout.phase is phase) for phase, ended_s in ends.items())
            assert rollout.step == runs.step[run] + 1
    assert all(
        rollout.phase is (Phase.WATCHING if errors == 0.02 else Phase.ROLLED_BACK) for rollout in rollouts
    )
