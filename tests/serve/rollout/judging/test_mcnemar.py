"""What labels of the shadow show of the candidate's accuracy."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from serve.rollout.evidence.matched_pairs import MatchedPairs
from serve.rollout.judging.mcnemar import log_worse, watch_matched
from serve.rollout.state.policy import AccuracyGuard
from tests.serve.rollout.label_table import Truth, simulate_labels

GUARD = AccuracyGuard()


@pytest.mark.parametrize("coins", [1, 7, 100, 1000])
def test_equal_variants_win_nothing_on_average(coins: int) -> None:
    """With equal variants the mean e-value is 1."""
    heads = np.arange(coins + 1.0)
    mean = binom.pmf(heads, coins, 0.5) @ np.exp(log_worse(heads, coins - heads, 0, 1.0))
    assert mean == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize(("baseline", "candidate"), [(0.1, 0.12), (0.3, 0.36), (0.3, 0.2)])
def test_within_the_margin_nothing_is_won_on_average(baseline: float, candidate: float) -> None:
    """At 1.2 times the baseline's errors, which are allowed, the mean e-value is 1; below that it is less."""
    law = {
        (1, 0, 0): candidate * (1 - baseline),
        (0, 1, 0): baseline * (1 - candidate),
        (0, 0, 1): baseline * candidate,
        (0, 0, 0): (1 - baseline) * (1 - candidate),
    }
    mean = 0.0
    for path in product(law, repeat=6):
        alone, other, neither = np.sum(path, axis=0)
        mean += math.prod(law[each] for each in path) * math.exp(log_worse(alone, other, neither, 1.2))
    assert mean <= 1 + 1e-9
    assert (mean == pytest.approx(1)) == (candidate == pytest.approx(1.2 * baseline))


def test_it_shows_nothing_that_the_exact_test_does_not() -> None:
    """Whenever the e-value shows harm, McNemar's exact test does, too; twenty of twenty show it."""
    for coins, alpha in product((5, 20, 60, 150), (0.05, 0.01)):
        for heads in range(coins + 1):
            if log_worse(heads, coins - heads, 0, 1.0) >= -math.log(alpha):
                assert binomtest(heads, coins, 0.5, alternative="greater").pvalue <= alpha
    assert log_worse(20, 0, 0, 1.0) >= math.log(1000)


def test_where_both_are_right_or_both_wrong_nothing_is_shown() -> None:
    """Labels where both variants are right, or both wrong, show nothing."""
    same = {0: MatchedPairs(labelled=10_000, neither=900)}
    figure = watch_matched(GUARD, same, 10, 0.95)
    assert figure.harm == pytest.approx(-math.log(2), abs=1e-3)


def test_a_bad_class_is_named() -> None:
    """A class with 30 % errors is named, although the total is 4.8 %."""
    matched = {number: MatchedPairs(labelled=100, baseline_alone=2, candidate_alone=2) for number in range(9)}
    figure = watch_matched(GUARD, matched | {9: MatchedPairs(labelled=100, baseline_alone=30)}, 10, 0.95)
    assert figure.seen.startswith("4.80% wrong against 1.80% of the baseline's; ")
    assert "right in 48, only the candidate in 18 of 1,000 labelled requests" in figure.seen
    assert "; class 9: only the baseline was right in 30, only the candidate in 0 of 100" in figure.seen
    assert figure.harm is not None
    assert figure.harm > math.log(600)


def test_one_class_may_lose_what_another_one_wins() -> None:
    """Small losses in some classes that others make up for are not shown as harm."""
    matched = {
        number: MatchedPairs(
            labelled=1000, neither=60, baseline_alone=20 + 6 * (number % 2), candidate_alone=23
        )
        for number in range(10)
    }
    figure = watch_matched(GUARD, matched, 10, 0.95)
    assert figure.harm is not None
    assert figure.harm < math.log(20)


def test_many_classes_share_the_odds() -> None:
    """With 100 times as many classes, the same labels show 100 times less."""
    bad = {
        3: MatchedPairs(labelled=200, baseline_alone=30),
        1000: MatchedPairs(labelled=9000, candidate_alone=60),
    }
    few, many = (watch_matched(GUARD, bad, classes, 0.95).harm for classes in (5, 500))
    assert few is not None
    assert many is not None
    assert few - many == pytest.approx(math.log(100), abs=1e-3)


def test_what_the_policy_allows_is_no_harm() -> None:
    """More errors than the baseline's are no harm within the allowed rate."""
    matched = {0: MatchedPairs(labelled=1000, baseline_alone=40)}
    assert (watch_matched(GUARD, matched, 2, 0.95).harm or 0) > 10
    allowed = watch_matched(AccuracyGuard(allowed=0.1), matched, 2, 0.95)
    assert (allowed.harm or 0) < 0


def test_without_labels_nothing_is_said() -> None:
    """Without labels there is no figure, and the text says so."""
    figure = watch_matched(GUARD, {}, 10, 0.95)
    assert (figure.seen, figure.harm, figure.safe) == ("no label of the shadow yet", None, None)


def test_equal_variants_stay_and_a_bad_class_is_found() -> None:
    """Equal variants are never rolled back; 30 % errors in one class are found within 2,000 labels."""
    assert np.isinf(simulate_labels(Truth(), runs=60, labels=2000)).all()
    assert np.isfinite(simulate_labels(Truth(bad_class=0.3), runs=30, labels=2000)).all()
