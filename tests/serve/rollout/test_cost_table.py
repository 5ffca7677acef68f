"""Reduced runs of the table in tests/serve/rollout/cost_table.py: of n rollouts with a true rate p, more than
n p + 4 sqrt(n p) come once in 10,000."""

from typing import Any

import numpy as np
import pytest

from serve.rollout.cost import weigh_cost
from serve.rollout.evidence import Cost
from serve.rollout.runs import Sizes
from tests.serve.rollout.cost_table import Rollouts, Second, World, simulate

KINDS: dict[str, dict[str, Any]] = {
    "a drift of 39 s": {"rho": 0.95, "drift": 0.1},
    "runs of very different cost": {"sigma": 2.0, "runs_per_s": 20.0},
    "a few runs of great cost": {"costs": "pareto", "runs_per_s": 20.0},
    "batches": {"costs": "batches", "sigma": 0.3},
    "users that stick": {"users": 500},
    "users that stick, few of them with most of the traffic": {"users": 500, "zipf": True},
}


@pytest.mark.parametrize("share", [0.1, 0.95])
@pytest.mark.parametrize("kind", KINDS)
def test_an_equal_candidate_is_hardly_ever_shown_to_be_cheaper(kind: str, share: float) -> None:
    """A look a second for five minutes, 100 rollouts: at most 5 % and 4 sqrt(5) are 13."""
    shown_s = simulate(World(share=share, **KINDS[kind]), 300, rollouts=100, seed=2)
    assert np.isfinite(shown_s).sum() <= 13


@pytest.mark.parametrize("share", [0.1, 0.95])
def test_a_dearer_candidate_is_never_shown_to_be_cheaper(share: float) -> None:
    """Half as much again at equal sizes, whatever the batches are."""
    world = World(share=share, ratio=1.5, costs="batches", sigma=0.3)
    assert np.isinf(simulate(world, 300, rollouts=100, seed=2)).all()


@pytest.mark.parametrize("share", [0.1, 0.95])
@pytest.mark.parametrize("kind", ["a drift of 39 s", "batches"])
def test_a_cheaper_candidate_is_shown_to_be(kind: str, share: float) -> None:
    """30 % less: 95 of 100 rollouts within 300 s, less 4 standard deviations of 2."""
    shown_s = simulate(World(share=share, ratio=0.7, **KINDS[kind]), 300, rollouts=100, seed=2)
    assert np.isfinite(shown_s).sum() >= 87


def told(second: Second, rollout: int, variant: int, at_s: int) -> Cost:
    """What a variant ran in a second, as the rollout stores it."""
    runs, logs, ms = (part[rollout, variant] for part in second)
    sizes: Sizes = {
        size: (int(runs[size - 1]), float(ms[size - 1]), float(logs[size - 1]), 0.0)
        for size in range(1, 11)
        if runs[size - 1]
    }
    rows = sum(size * count for size, (count, *_) in sizes.items())
    return Cost.tick(rows, float(ms.sum()), sizes, at_s)


def test_the_table_is_of_the_guard() -> None:
    """Second by second, stored costs give the evidence of the arrays, but for the last digits of a log."""
    rollouts = Rollouts(World(share=0.5, costs="batches", sigma=0.3, ratio=0.8), np.random.default_rng(1), 2)
    stored = [[Cost(), Cost()] for _ in range(2)]
    for second in range(150):
        drawn = rollouts.tick(second)
        for rollout, variant in ((0, 0), (0, 1), (1, 0), (1, 1)):
            stored[rollout][variant] += told(drawn, rollout, variant, second)
        if second % 7 == 0:
            figures = [weigh_cost(baseline, mine, rollouts.cheaper_by) for baseline, mine in stored]
            assert [figure.safe for figure in figures] == pytest.approx(rollouts.evidence, abs=1e-2)
    assert max(rollouts.evidence) > 1
