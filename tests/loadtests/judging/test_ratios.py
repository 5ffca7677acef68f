from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from loadtests.candidate_comparison import Ratio
from loadtests.judging import ratios
from loadtests.judging.ratios import compare_latency
from loadtests.sending.samples import Samples
from tests.loadtests.samples import join, make_failed, make_samples

_SEEDS = 100
_PER_S = 50

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, Array], Array]


def _independent(rng: np.random.Generator, at_s: Array) -> Array:
    """8 ms with the tail of a small model behind HTTP: a p99 of 2.5 times the median."""
    return 8 * rng.lognormal(0, 0.4, len(at_s))


def _calm(rng: np.random.Generator, at_s: Array) -> Array:
    return 8 * rng.lognormal(0, 0.25, len(at_s))


def _bursty(rng: np.random.Generator, at_s: Array) -> Array:
    """The same, but in one second of five the machine is three times as slow, for both arms at once."""
    bad = rng.random(int(at_s.max()) + 1) < 0.2
    return _independent(rng, at_s) * np.where(bad[at_s.astype(int)], 3, 1)


def _arms(seed: int, draw: Draw, duration_s: float, slower: float = 1) -> tuple[Samples, Samples]:
    """Requests of one run, each to one of two variants at random; the second is `slower` times as slow."""
    rng = np.random.default_rng(seed)
    at_s = np.sort(rng.uniform(0, duration_s, rng.poisson(2 * _PER_S * duration_s)))
    latency_ms, second = draw(rng, at_s), rng.random(len(at_s)) < 0.5
    return (
        make_samples(latency_ms[~second], at_s=at_s[~second]),
        make_samples(slower * latency_ms[second], at_s=at_s[second], variant="int8"),
    )


def _p50(found: tuple[Ratio, ...]) -> Ratio:
    return next(ratio for ratio in found if ratio.figure == "p50")


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of the draws make the ends of intervals noisier, but no narrower."""
    monkeypatch.setattr(ratios, "_DRAWS", ratios._DRAWS // 5)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("draw", [_independent, _bursty])
def test_equal_variants_are_found_equal(draw: Draw) -> None:
    """In at least 95 of 100 seeds the 99 % interval of equal variants contains 1, also with slow seconds."""
    held = 0
    for seed in range(_SEEDS):
        ratio = _p50(compare_latency(*_arms(seed, draw, 20), 20, seed))
        held += ratio.low <= 1 <= ratio.high
    assert held >= 95


@pytest.mark.usefixtures("few_draws")
def test_a_variant_that_is_slower_by_a_twentieth_is_found() -> None:
    """In at least 95 of 100 seeds with 60 s at 50/s, the interval of a p50 ratio of 1.05 lies above 1.

    The noise is that of a quiet machine: the p99 is 1.8 times the median. The median of 3,000 has a
    standard error of 1.25 * 0.25 / sqrt(3,000), and the ratio of two has 0.8 %, of which 5 % are six."""
    found = 0
    for seed in range(_SEEDS):
        ratio = _p50(compare_latency(*_arms(seed, _calm, 60, slower=1.05), 60, seed))
        found += ratio.low > 1
    assert found >= 95


def test_a_ratio_is_the_candidates_over_the_baselines() -> None:
    """10 ms to 8 ms are a ratio of 1.25 in each figure."""
    at_s = np.arange(0.005, 20, 0.01)
    sides = make_samples(np.full(2000, 8), at_s=at_s), make_samples(np.full(2000, 10), at_s=at_s)
    found = compare_latency(*sides, 20, 0)
    assert [ratio.figure for ratio in found] == ["p50", "p95", "p99", "mean"]
    assert all((ratio.value, ratio.low, ratio.high) == pytest.approx((1.25,) * 3) for ratio in found)


def test_errors_are_not_timed() -> None:
    """Errors have no effect on the ratio of latencies."""
    at_s = np.arange(0.005, 20, 0.02)
    good = make_samples(np.full(1000, 8), at_s=at_s)
    refused = join(good, make_failed(1000, at_s=at_s + 0.01))
    assert [ratio.value for ratio in compare_latency(good, refused, 20, 0)] == pytest.approx([1] * 4)


def test_a_figure_needs_ten_samples_beyond_it() -> None:
    """A p99 needs 1,000 samples on both sides, and a p95 needs 200."""
    thousand = make_samples(np.full(1000, 8), at_s=np.arange(0.005, 20, 0.02))
    for n, figures in ((1000, 4), (999, 3), (200, 3), (199, 2)):
        few = make_samples(np.full(n, 8), at_s=np.linspace(0, 19.9, n))
        assert len(compare_latency(thousand, few, 20, 0)) == figures


@pytest.mark.parametrize("duration_s", [9.9, 0])
def test_too_short_a_run_gives_none(duration_s: float) -> None:
    """A run of less than ten seconds gives no ratio."""
    samples = make_samples(np.full(1000, 8), at_s=np.linspace(0, 9.8, 1000))
    assert compare_latency(samples, samples, duration_s, 0) == ()


def test_a_variant_without_an_answer_gives_none() -> None:
    """A variant without answers gives no ratio."""
    samples = make_samples(np.full(1000, 8), at_s=np.linspace(0, 19, 1000))
    assert compare_latency(samples, make_failed(5), 20, 0) == ()


def test_a_seed_gives_the_same_interval() -> None:
    """The same seed gives the same interval."""
    arms = _arms(0, _independent, 12)
    assert compare_latency(*arms, 12, 7) == compare_latency(*arms, 12, 7)
