"""The arrays of tests/serve/rollout/cost_table.py agree with the guard."""

import numpy as np
import pytest

from serve.counting.run_costs import Sizes
from serve.rollout.evidence.evidence import Cost
from serve.rollout.judging.cost import weigh_cost
from tests.serve.rollout.cost_table import Rollouts, Second, World


def told(second: Second, rollout: int, variant: int, at_s: int) -> Cost:
    """Return the cost of a variant's second as a rollout stores it."""
    runs, logs, ms = (part[rollout, variant] for part in second)
    sizes: Sizes = {
        size: (int(runs[size - 1]), float(ms[size - 1]), float(logs[size - 1]), 0.0)
        for size in range(1, 11)
        if runs[size - 1]
    }
    rows = sum(size * count for size, (count, *_) in sizes.items())
    return Cost.tick(rows, float(ms.sum()), sizes, at_s)


def test_the_table_is_of_the_guard() -> None:
    """Stored costs give the same evidence as the table's arrays, to 0.01."""
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
