"""Intervals have their nominal coverage, even if a variant hardly differs from its baseline."""

import numpy as np
import pytest

from export.proof.bootstrap import mean_intervals, share_interval


def test_a_share_is_inside_its_interval_as_often_as_promised() -> None:
    """With 450 rows and a true agreement of 0.99, at least 93 % of 1,000 intervals contain it. The promise is
    95 %, and the standard error of such a count is 0.7 %."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        low, high = share_interval((random.random(450) < 0.99).astype(float), np.ones(450))
        covered += low <= 0.99 <= high
    assert covered >= 930


def test_no_disagreement_is_no_proof_of_none() -> None:
    """Without a difference in 450 rows the lower bound is that of Clopper and Pearson, 0.025^(1/450)."""
    low, high = share_interval(np.ones(450), np.ones(450))
    assert low == pytest.approx(0.025 ** (1 / 450))
    assert high == 1


def test_tokens_of_one_text_are_no_independent_rows() -> None:
    """Texts that fail as a whole give the same interval with ten tokens as with one."""
    hits = np.ones(200)
    hits[:20] = 0
    one = share_interval(hits, np.ones(200))
    ten = share_interval(10 * hits, np.full(200, 10.0))
    assert ten == pytest.approx(one, abs=1e-3)


def test_a_mean_has_the_interval_of_the_normal_approximation() -> None:
    """The interval of a mean of 1,000 normal values is 1.96 standard errors, to 15 % of simulation noise."""
    values = np.random.default_rng(0).normal(size=1000)
    [(low, high)] = mean_intervals(values[:, None], np.ones(1000), seed=0)
    error = 1.96 * values.std() / np.sqrt(1000)
    assert low == pytest.approx(values.mean() - error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.15 * error)


def test_the_same_seed_draws_the_same() -> None:
    """The same seed gives the same interval, and another seed another one."""
    values = np.random.default_rng(0).normal(size=(50, 2))
    assert mean_intervals(values, np.ones(50), 1) == mean_intervals(values, np.ones(50), 1)
    assert mean_intervals(values, np.ones(50), 1) != mean_intervals(values, np.ones(50), 2)
