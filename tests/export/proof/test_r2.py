import numpy as np
import pytest

from export.proof.output_quality import measure_r2
from serve.bundles.meaning import Meaning

RANDOM = np.random.default_rng(0)
ROWS = 400


def numbers(*spread: float) -> Meaning:
    """The meaning of an output of numbers with these standard deviations."""
    return Meaning(kind="numbers", form="plain", spread=spread)


def test_the_lower_end_is_that_of_the_mean_error() -> None:
    """The share of the variance that is not explained is the mean of squares with this standard error."""
    baseline = RANDOM.normal(size=(ROWS, 1))
    noise = 0.5 * RANDOM.normal(size=(ROWS, 1))
    squares = np.square(noise)
    r2 = measure_r2(numbers(1.0), baseline, baseline + noise, 0)
    assert r2 is not None
    assert r2[0] == pytest.approx(1 - squares.mean())
    error = squares.std() / ROWS**0.5
    assert r2[1] == pytest.approx(r2[0] - 1.96 * error, abs=0.4 * error)


def test_one_row_that_is_far_off_widens_the_interval() -> None:
    """If one row causes an error of a tenth of the variance, R2 is 0.9 and its lower end about 0.7."""
    baseline = RANDOM.normal(size=(ROWS, 1))
    variant = baseline.copy()
    variant[7] += (0.1 * ROWS) ** 0.5
    r2 = measure_r2(numbers(1.0), baseline, variant, 0)
    assert r2 is not None
    assert r2[0] == pytest.approx(0.9)
    assert r2[1] == pytest.approx(0.7)


def test_the_worst_place_counts_on_its_own_scale() -> None:
    """R2 is that of the worst column: an error of half its spread in each row gives 0.75."""
    spread = np.arange(1, 101) / 10
    baseline = RANDOM.normal(size=(ROWS, 100)) * spread
    variant = baseline.copy()
    variant[:, 0] += 0.05
    assert measure_r2(numbers(*spread), baseline, variant, 0) == pytest.approx((0.75, 0.75))


def test_the_worst_channel_counts_on_its_own_scale() -> None:
    """Channels may be in any dimension: an error of half the spread of the small one gives 0.75."""
    meaning = Meaning(kind="numbers", form="plain", spread=(0.1, 100.0), spread_axis=1)
    baseline = RANDOM.normal(size=(ROWS, 2, 5)) * np.array([[0.1], [100]])
    variant = baseline.copy()
    variant[:, 0] += 0.05
    assert measure_r2(meaning, baseline, variant, 0) == pytest.approx((0.75, 0.75))


def test_the_rows_of_a_tensor_are_drawn_whole() -> None:
    """Ten equal errors in a row give the same interval as a single one."""
    baseline = RANDOM.normal(size=(ROWS, 1))
    noise = 0.5 * RANDOM.normal(size=(ROWS, 1))
    one = measure_r2(numbers(1.0), baseline, baseline + noise, 0)
    many = np.repeat(baseline, 10, axis=1)[..., None]
    assert measure_r2(numbers(1.0), many, many + noise[..., None], 0) == pytest.approx(one)


def test_missing_numbers_do_not_count() -> None:
    """A number that both variants lack is ignored."""
    baseline = RANDOM.normal(size=(ROWS, 1))
    variant = baseline + 0.5
    baseline[: ROWS // 2] = variant[: ROWS // 2] = np.nan
    assert measure_r2(numbers(1.0), baseline, variant, 0) == pytest.approx((0.75, 0.75))


def test_equal_answers_and_constants() -> None:
    """Equal answers have an R2 of exactly 1; a constant output has none."""
    baseline = RANDOM.normal(size=(ROWS, 1))
    assert measure_r2(numbers(1.0), baseline, baseline, 0) == (1, 1)
    assert measure_r2(numbers(0.0), baseline, baseline + 1, 0) is None
