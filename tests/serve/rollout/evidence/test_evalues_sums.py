import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta as beta_law
from scipy.stats import binom, norm

from serve.rollout.evidence.evalues import (
    Bursts,
    dispersion,
    log_mean,
    log_mean_above,
    log_mismatch,
    log_ratio_above,
)


def bursts(candidate: list[int], baseline: list[int]) -> tuple[np.ndarray, np.ndarray, Bursts]:
    """One segment from the events of each tick."""
    mine = np.array(candidate, float)
    both = mine + baseline
    sums = (mine > 0).sum(), (mine**2).sum(), (mine * both).sum(), (both**2).sum()
    return mine.sum(keepdims=True), both.sum(keepdims=True), Bursts(*(np.array([float(s)]) for s in sums))


def test_labels_drawn_one_by_one_are_hardly_dispersed() -> None:
    """Simultaneous bursts keep the dispersion below 1.25; its standard deviation over 2,000 ticks is 0.06."""
    rng = np.random.default_rng(3)
    both = np.where(rng.random(2000) < 0.1, 40, 2)
    candidate = rng.binomial(both, 0.3)
    assert 1 <= dispersion(*bursts(list(candidate), list(both - candidate)))[0] < 1.25


def test_stalls_of_one_variant_at_a_time_count_as_one_event_each() -> None:
    """Bursts of eight events of one variant give a dispersion of at least 8."""
    rng = np.random.default_rng(3)
    mine = rng.random(2000) < 0.3
    assert dispersion(*bursts(list(8 * mine), list(8 * ~mine)))[0] >= 8


def test_a_first_stall_is_not_evidence_of_twenty_events() -> None:
    """A first burst of twenty events of the candidate does not show harm at 99 %."""
    candidate, both, sums = bursts([0, 20, 0], [0, 0, 0])
    factor = dispersion(candidate, both, sums)
    assert log_ratio_above(candidate, both, np.array([0.1]), 1.0) > math.log(1e9)
    assert log_ratio_above(candidate / factor, both / factor, np.array([0.1]), 1.0) < math.log(100)


@pytest.mark.parametrize("share", [0.01, 0.25])
def test_a_kept_split_earns_no_mismatch_on_average(share: float) -> None:
    """If the split is kept, the expected e-value of a mismatch is 1."""
    outcomes = np.arange(41)
    weights = binom.pmf(outcomes, 40, share)
    one = [
        math.exp(log_mismatch(np.array([float(n)]), np.array([40.0]), np.array([share]))) for n in outcomes
    ]
    assert weights @ one == pytest.approx(1)


def test_the_mismatch_mixture_is_an_integral_over_its_prior() -> None:
    """The mixture equals a numerical integral over the prior Beta(100, 900)."""
    law = beta_law(100, 900)
    integral = quad(lambda p: law.pdf(p) * binom.pmf(70, 500, p), 0, 1, points=[0.1])[0] / binom.pmf(
        70, 500, 0.1
    )
    assert math.exp(log_mismatch(np.array([70.0]), np.array([500.0]), np.array([0.1]))) == pytest.approx(
        integral
    )


def test_a_split_that_is_not_kept_is_found() -> None:
    """2 % of 5,000 requests where 1 % was asked for are a mismatch at odds of 1,000."""
    assert log_mismatch(np.array([100.0]), np.array([5000.0]), np.array([0.01])) > math.log(1000)


@pytest.mark.parametrize(
    ("difference", "variance", "scale"), [(0.0, 0.1, 0.2), (0.3, 0.01, 0.2), (-0.1, 1.0, 3.0)]
)
def test_the_mean_mixture_is_an_integral_over_a_normal_prior(
    difference: float, variance: float, scale: float
) -> None:
    """F5 in closed form equals the normal likelihood ratio integrated over N(0, scale^2)."""

    def integrand(truth: float) -> float:
        return float(norm.pdf(difference, truth, variance**0.5) * norm.pdf(truth, 0, scale))

    integral = quad(integrand, -12 * scale, 12 * scale, points=[0, difference])[0]
    ratio = integral / norm.pdf(difference, 0, variance**0.5)
    assert math.exp(log_mean(difference, variance, scale)) == pytest.approx(ratio)


def test_equal_figures_prove_a_mean_only_in_time() -> None:
    """Equal figures above the limit are evidence from the thirtieth on."""
    assert log_mean_above(29, 29.0, 29.0, 0.9, 0.1) == 0
    assert 3 < log_mean_above(30, 30.0, 30.0, 0.9, 0.1) < 1e4
