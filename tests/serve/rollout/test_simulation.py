"""The simulated rollouts of tests/serve/rollout/table.py agree with the judge and end as expected."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serve.rollout.advance import advance, promote
from serve.rollout.evidence.evidence import Cost, Events, Evidence, Pair, Segment
from serve.rollout.judging.judge import judge
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase, Rollout
from tests.serve.rollout.rollouts import SHARES, begun
from tests.serve.rollout.simulate import Runs, simulate
from tests.serve.rollout.traffic import Scenario


def test_twice_the_errors_are_caught_among_stalls() -> None:
    """Twice the errors are found in 20 of 20 runs within 15 minutes, despite stalls."""
    scenario = Scenario(requests_per_s=100, seconds=900, errors=(0.02, 0.04), stalls_s=10.0)
    assert (simulate(scenario, Policy(), runs=20, seed=2).rolled_back_s >= 0).all()


@pytest.mark.parametrize("errors", [0.1, 0.2])
def test_many_errors_from_the_first_second_are_not_waited_for(errors: float) -> None:
    """In 40 of 40 runs errors from the first second are rolled back, half of them within 200 s."""
    runs = simulate(
        Scenario(requests_per_s=100, seconds=900, errors=(0.002, errors)), Policy(), runs=40, seed=2
    )
    assert (runs.rolled_back_s >= 0).all()
    assert np.median(runs.rolled_back_s) <= 200


def test_bursts_that_show_in_the_larger_part_alone_are_nobodys_fault() -> None:
    """At most 1 of 60 equal candidates at 5 % is rolled back within half an hour, despite bursts in one
    variant at a time."""
    scenario = Scenario(requests_per_s=100, seconds=1800, bursts="apart", split=0.05, look_every_s=10)
    assert (simulate(scenario, Policy(), runs=60, seed=2).rolled_back_s >= 0).sum() <= 1


def tick(at: int, now_s: int, counted: dict[str, NDArray[Any]], run: int) -> Segment:
    """Return the counts of a run's second as a rollout stores them."""
    pairs = {
        name: Pair(baseline=int(two[0, run]), candidate=int(two[1, run])) for name, two in counted.items()
    }
    timed = pairs["timed_over_limit"]
    ran = zip((timed.baseline, timed.candidate), counted["ms"][:, run], strict=True)
    costs = [
        Cost.tick(
            rows, rows * ms, {1: (rows, rows * ms, rows * math.log(ms), rows * math.log(ms) ** 2)}, now_s
        )
        for rows, ms in ran
    ]
    return Segment(
        step=at,
        split=SHARES[at - 1],
        started_s=now_s - 1.0,
        ended_s=float(now_s),
        requests=pairs["requests"],
        errors=Events.tick(pairs["errors"].baseline, pairs["errors"].candidate),
        timed=timed,
        over_limit=Events.tick(pairs["over_limit"].baseline, pairs["over_limit"].candidate),
        baseline_cost=costs[0],
        candidate_cost=costs[1],
    )


@pytest.mark.parametrize("errors", [0.02, 0.05])
def test_the_simulation_is_the_rollout(errors: float) -> None:
    """The simulation's sums and verdicts equal those of `judge` and `advance`, look by look."""
    scenario = Scenario(requests_per_s=500, seconds=400, errors=(0.02, errors), cost=0.5)
    runs = Runs(scenario, Policy(), np.random.default_rng(4), 3)
    rollouts: list[Rollout] = [promote(begun(), "ann", 0.0) for _ in range(3)]
    evidence = [Evidence()] * 3
    for now_s in range(1, scenario.seconds + 1):
        alive = runs.alive
        counted = runs.tick(now_s)
        for place, run in enumerate(alive):
            evidence[run] = evidence[run].with_tick(tick(rollouts[run].step, now_s, counted, place))
            if now_s % scenario.look_every_s == 0:
                rollouts[run] = advance(rollouts[run], judge(rollouts[run], evidence[run], now_s), now_s)
        ends = {Phase.ROLLED_BACK: runs.rolled_back_s, Phase.WATCHING: runs.done_s}
        for run, rollout in enumerate(rollouts):
            assert all((ended_s[run] >= 0) == (rollout.phase is phase) for phase, ended_s in ends.items())
            assert rollout.step == runs.step[run] + 1
    assert all(
        rollout.phase is (Phase.WATCHING if errors == 0.02 else Phase.ROLLED_BACK) for rollout in rollouts
    )
