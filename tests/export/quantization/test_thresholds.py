"""The thresholds of calibration by each method."""

import numpy as np

from export.quantization.thresholds import BINS, entropy_threshold, error_threshold, percentile_threshold


def histogram(values: object) -> tuple[np.ndarray, float]:
    """Return the histogram of absolute values, and the largest one."""
    absolute = np.abs(np.asarray(values))
    return np.histogram(absolute, BINS, (0, absolute.max()))[0], float(absolute.max())


def long_tailed() -> np.ndarray:
    """A normal distribution, and a few values thirty times as large."""
    return np.append(np.random.default_rng(0).normal(0, 1, 200_000), [30.0, -25.0])


def test_a_percentile_is_numpys() -> None:
    """The percentile equals numpy's to one bin."""
    values = np.random.default_rng(0).normal(0, 1, 200_000)
    counts, largest = histogram(values)
    wanted = np.percentile(np.abs(values), 99.9, method="inverted_cdf")
    assert 0 <= percentile_threshold(counts, largest, 99.9) - wanted <= largest / BINS


def test_all_of_a_hundred_is_the_largest_value() -> None:
    """The 100th percentile is the largest value."""
    counts, largest = histogram(long_tailed())
    assert percentile_threshold(counts, largest, 100) == largest


def test_entropy_cuts_a_long_tail() -> None:
    """With a few extreme values, the entropy threshold is between 3 and 15."""
    counts, largest = histogram(long_tailed())
    assert 3 < entropy_threshold(counts, largest) < 15


def test_entropy_keeps_an_even_distribution() -> None:
    """The entropy method keeps more than 98 % of a uniform distribution."""
    counts, largest = histogram(np.linspace(0, 1, 100_000))
    assert entropy_threshold(counts, largest) > 0.98


def error(values: np.ndarray, threshold: float) -> float:
    """Mean squared, of the values in 255 steps up to the threshold on both sides."""
    step = 2 * threshold / 255
    kept = np.clip(np.rint(values / step), -127, 127) * step
    return float(np.mean((values - kept) ** 2))


def test_the_least_error_is_found() -> None:
    """The threshold's error is at most 1 % above the least error of a grid."""
    values = np.append(np.random.default_rng(0).laplace(0, 1, 200_000), [30.0, -30.0])
    counts, largest = histogram(values)
    found = error_threshold(counts, (-largest, largest))
    assert found < largest
    assert error(values, found) <= 1.01 * min(
        error(values, share * largest) for share in np.linspace(0.1, 1, 91)
    )


def test_the_side_that_is_short_is_not_counted() -> None:
    """With values from -0.2 to 8 the threshold stays above 7.8."""
    values = np.append(np.linspace(-0.2, 0, 1000), np.linspace(0, 8, 100_000))
    assert error_threshold(histogram(values)[0], (-0.2, 8.0)) > 7.8
