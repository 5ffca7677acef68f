import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import beta
from scipy.stats import binom

from serve.rollout.evidence.evalues import (
    log_mismatch,
    log_rate,
    log_rate_above,
    log_rate_below,
    log_ratio_above,
    log_ratio_below,
    rate_interval,
)

Labels = tuple[int, ...]
# The candidate's share at each of nine events.
SPLITS = (0.01,) * 2 + (0.05,) * 2 + (0.25,) * 3 + (0.5,) * 2


def by_segment(labels: Labels, splits: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The candidate's events, both's, and the shares, per split."""
    shares = sorted(set(splits))
    candidate = [
        sum(label for label, split in zip(labels, splits, strict=True) if split == s) for s in shares
    ]
    return np.array(candidate, float), np.array([splits.count(s) for s in shares], float), np.array(shares)


def chance(labels: Labels, ratio: float) -> float:
    """The probability of these labels when the candidate's rate is `ratio` times the baseline's."""
    product = 1.0
    for label, split in zip(labels, SPLITS, strict=True):
        odds = split * ratio / (1 - split)
        product *= odds / (1 + odds) if label else 1 / (1 + odds)
    return product


def sequences() -> Iterator[Labels]:
    return itertools.product((0, 1), repeat=len(SPLITS))


@pytest.mark.parametrize(
    ("events", "trials", "rate"), [(0, 10, 0.1), (3, 10, 0.1), (10, 10, 0.5), (7, 400, 0.02)]
)
def test_the_rate_mixture_is_an_integral_over_the_arcsine_law(events: int, trials: int, rate: float) -> None:
    """F1 in closed form equals the likelihood ratio integrated numerically over Beta(1/2, 1/2)."""

    def integrand(angle: float) -> float:
        # p = sin(angle)^2 turns the arcsine law into a uniform one.
        p = math.sin(angle) ** 2
        return float(binom.pmf(events, trials, p) / binom.pmf(events, trials, rate)) * 2 / math.pi

    assert math.exp(log_rate(events, trials, rate)) == pytest.approx(quad(integrand, 0, math.pi / 2)[0])


def test_nothing_in_1450_shows_less_than_half_a_percent() -> None:
    """Between 1,400 and 1,500 pairs without a difference exclude a rate of 0.5 % at the 5 % level."""
    needed = next(n for n in range(1, 5000) if log_rate_below(0, n, 0.005) >= math.log(20))
    assert 1400 < needed < 1500


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (5, 1), (30, 12)])
def test_discordant_pairs_are_mcnemars_at_every_look(lost: int, won: int) -> None:
    """The rate mixture at one half is the formula 2^(b+c) B(a+b, a+c) / B(a, a)."""
    formula = 2.0 ** (lost + won) * beta(0.5 + lost, 0.5 + won) / beta(0.5, 0.5)
    assert math.exp(log_rate(lost, lost + won, 0.5)) == pytest.approx(formula)


def test_one_sided_evidence_never_counts_for_the_other_side() -> None:
    """A rate below the limit gives no evidence of being above it, and the reverse."""
    assert log_rate_above(1, 1000, 0.01) <= 0
    assert log_rate_below(50, 1000, 0.01) <= 0


def test_an_interval_ends_where_the_evidence_does() -> None:
    """Both ends of the interval have an e-value of 1/alpha, and the observed rate lies between them."""
    low, high = rate_interval(30, 1000, 0.05)
    assert low < 0.03 < high
    assert log_rate(30, 1000, np.array([low, high])) == pytest.approx(math.log(20))


def test_the_ratio_mixture_is_a_mean_over_products_event_by_event() -> None:
    """F2 from sums equals the definition: one factor an event, with the split in force at that event."""
    for labels in itertools.islice(sequences(), 0, None, 37):
        depths = (np.arange(48) + 0.5) * 0.15
        weights = np.exp(-depths) / np.exp(-depths).sum()
        plain = sum(
            weight * chance(labels, 2 * math.exp(depth)) / chance(labels, 2)
            for depth, weight in zip(depths, weights, strict=True)
        )
        assert math.exp(log_ratio_above(*by_segment(labels, SPLITS), 2)) == pytest.approx(plain)


@pytest.mark.parametrize(("truth", "null"), [(1.0, 1.0), (0.5, 1.0), (1.0, 2.0), (2.0, 2.0)])
def test_a_candidate_within_the_null_earns_nothing_on_average(truth: float, null: float) -> None:
    """Over all 512 label sequences of a ramp the expected e-value is at most 1, and 1 at the null's edge."""
    mean = sum(
        chance(labels, truth) * math.exp(log_ratio_above(*by_segment(labels, SPLITS), null))
        for labels in sequences()
    )
    assert mean == pytest.approx(1) if truth == null else mean < 1


@pytest.mark.parametrize("truth", [2.0, 5.0])
def test_a_candidate_that_is_unsafe_earns_no_safety_on_average(truth: float) -> None:
    """For a candidate with twice the rate or more, the mean e-value of "below twice" is at most 1."""
    mean = sum(
        chance(labels, truth) * math.exp(log_ratio_below(*by_segment(labels, SPLITS), 2.0))
        for labels in sequences()
    )
    assert mean == pytest.approx(1) if truth == 2 else mean < 1


@pytest.mark.parametrize("odds", [2.0, 5.0, 20.0])
def test_looking_after_every_event_keeps_the_promise(odds: float) -> None:
    """With equal variants, the evidence reaches `odds` at any look with a probability of at most 1/odds."""
    ever = 0.0
    for labels in sequences():
        looks = (
            float(log_ratio_above(*by_segment(labels[:n], SPLITS[:n]), 1.0))
            for n in range(1, len(labels) + 1)
        )
        ever += chance(labels, 1.0) * (max(looks) >= math.log(odds))
    assert 0 < ever <= 1 / odds


def test_errors_where_the_baseline_has_none_are_evidence() -> None:
    """Four errors of a candidate with 1 % of the traffic, and none of the baseline, give odds above 300."""
    four = np.array([4.0])
    assert log_ratio_above(four, four, np.array([0.01]), 1.0) > math.log(300)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_split_without_a_comparison_says_nothing(share: float) -> None:
    """With a share of 0 or 1 the e-values are 1, as the labels carry no information."""
    events = np.array([50.0])
    for candidate in (events * share, events / 2):
        assert log_ratio_above(candidate, events, np.array([share]), 1.0) == pytest.approx(0)
        assert log_ratio_below(candidate, events, np.array([share]), 1.0) == pytest.approx(0)
        assert log_mismatch(candidate, events, np.array([share])) == 0


counts = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), min_size=1, max_size=6)


@given(pieces=counts, share=st.floats(0.01, 0.99))
def test_a_segment_may_be_cut_anywhere(pieces: list[tuple[int, int]], share: float) -> None:
    """The evidence of pieces with the same split equals that of their sum."""
    candidate = np.array([piece[0] for piece in pieces], float)
    both = candidate + [piece[1] for piece in pieces]
    apart = log_ratio_above(candidate, both, np.full(len(pieces), share), 1.0)
    together = log_ratio_above(candidate.sum(keepdims=True), both.sum(keepdims=True), np.array([share]), 1.0)
    assert apart == pytest.approx(together, abs=1e-6)


def test_many_rollouts_at_once_are_each_by_itself() -> None:
    """A leading axis of rollouts gives the same numbers as each rollout alone."""
    candidate, both = np.array([[1.0, 4.0], [0.0, 9.0]]), np.array([[30.0, 20.0], [2.0, 11.0]])
    shares = np.array([0.05, 0.5])
    alone = [log_ratio_below(*row, shares, 1.5) for row in zip(candidate, both, strict=True)]
    assert log_ratio_below(candidate, both, shares, 1.5) == pytest.approx(np.array(alone))
