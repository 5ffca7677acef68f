"""The whole table of what the guards do, in minutes: python -m tests.serve.rollout.table"""

import sys

import numpy as np

from serve.rollout.policy import Policy
from tests.serve.rollout.keys_table import keys_table
from tests.serve.rollout.latency_table import latency_table
from tests.serve.rollout.simulate import Runs, Scenario, simulate, simulate_shadow

EQUAL = [
    Scenario(requests_per_s=100, seconds=3600, bursts=bursts, split=split)
    for bursts in ("none", "shared", "apart")
    for split in (0.1, None)
]
STALLING = [
    Scenario(requests_per_s=100, seconds=1800, errors=(0.02, candidate), stalls_s=stalls_s)
    for stalls_s in (3.0, 10.0, 30.0)
    for candidate in (0.02, 0.04)
]
WORSE = [
    Scenario(requests_per_s=rate, seconds=7200, errors=(0.02, 0.06)) for rate in (10.0, 100.0, 1000.0)
] + [
    Scenario(requests_per_s=rate, seconds=7200, over_limit=(0.0028, 0.174)) for rate in (10.0, 100.0, 1000.0)
]
CHEAPER = [
    Scenario(requests_per_s=rate, seconds=14_400, errors=(errors, errors), cost=0.7)
    for rate in (10.0, 100.0, 1000.0)
    for errors in (0.02, 0.0)
]


def describe(runs: Runs) -> str:
    """One line: how the rollouts ended, after how many requests, and what the users met."""
    back, done = runs.rolled_back_s >= 0, runs.done_s >= 0
    requests, candidate = runs.requests.sum((0, 2)), runs.requests[1].sum(-1)
    line = f"rolled back {back.mean():7.2%}  done {done.mean():7.2%}"
    if back.mean() > 0.5:
        line += (
            f"  requests until then: median {np.median(requests[back]):,.0f}, "
            f"p95 {np.quantile(requests[back], 0.95):,.0f}; to the candidate: median "
            f"{np.median(candidate[back]):,.0f}, {candidate[back].sum() / requests[back].sum():.1%} of all; "
            f"median {np.median(runs.rolled_back_s[back]):,.0f} s"
        )
    if done.any():
        seconds = runs.done_s[done]
        line += f"  s until then: median {np.median(seconds):,.0f}, p95 {np.quantile(seconds, 0.95):,.0f}"
    return line


def main(runs: int) -> None:
    """Print the table with `runs` rollouts a line."""
    for scenario in (*EQUAL, *STALLING, *WORSE, *CHEAPER):
        print(scenario, describe(simulate(scenario, Policy(), runs=runs, seed=5)), sep="\n    ", flush=True)
    for disagreement in (0.005, 0.05):
        back, on = simulate_shadow(Policy(), disagreement, pairs_per_s=10, runs=runs, seed=5)
        print(
            f"shadow, {disagreement:.1%} of pairs differ\n    rolled back {np.isfinite(back).mean():.2%}, "
            f"let on {np.isfinite(on).mean():.2%}; "
            f"pairs until then: median {np.median(np.fmin(back, on)):,.0f}"
        )
    latency_table(runs)
    keys_table(runs)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
