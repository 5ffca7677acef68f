"""The scale on which the differences of numbers count."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning
from serve.tasks.compare_outputs import compare
from serve.tasks.spread import measure_spread, scale_of

RANDOM = np.random.default_rng(0)


def unequal(*shape: int, axis: int) -> NDArray[Any]:
    """Normal numbers of 30 rows; the first place of a dimension is 300 times as large as the others."""
    numbers = RANDOM.normal(size=(30, *shape))
    np.moveaxis(numbers, axis, 0)[0] *= 300
    return numbers


def differing(baseline: NDArray[Any], variant: NDArray[Any]) -> list[bool]:
    """Which rows of the variant differ as numbers."""
    return [bool(each) for each in compare("regression", baseline, variant).differ]


@pytest.mark.parametrize(
    ("shape", "axis", "found"),
    [((84, 40), 1, 1), ((8, 5, 6), 1, 1), ((8, 5, 6), 2, 2), ((8, 5, 6), 3, -1), ((300,), 1, -1)],
    ids=str,
)
def test_the_spread_belongs_to_the_dimension_whose_scales_differ(
    shape: tuple[int, ...], axis: int, found: int
) -> None:
    """It has a value for each place of this dimension, whichever it is."""
    numbers = unequal(*shape, axis=axis)
    spread, where = measure_spread(numbers)
    assert (len(spread), where) == (numbers.shape[axis], found)
    assert spread[0] == pytest.approx(300, rel=0.3)
    assert spread[1] == pytest.approx(1, rel=0.3)


def test_equal_scales_have_the_spread_of_the_last_dimension() -> None:
    """Scales that differ by chance choose no dimension."""
    spread, axis = measure_spread(RANDOM.normal(size=(30, 8, 5)))
    assert (len(spread), axis) == (5, -1)


@pytest.mark.parametrize(
    ("shape", "spreads", "axis"),
    [((4096,), 4096, -1), ((4097,), 1, -1), ((3, 5000), 3, 1), ((5000, 3), 3, -1)],
    ids=str,
)
def test_up_to_4096_places_have_a_spread_each(shape: tuple[int, ...], spreads: int, axis: int) -> None:
    """More of them leave it to a smaller dimension, or have one spread for all."""
    spread, where = measure_spread(RANDOM.normal(size=(12, *shape)))
    assert (len(spread), where) == (spreads, axis)


@pytest.mark.parametrize(("shape", "axis"), [((84, 40), 1), ((8, 5, 6), 1), ((300,), 1)], ids=str)
def test_small_numbers_are_not_hidden_by_large_ones(shape: tuple[int, ...], axis: int) -> None:
    """All small places at their mean, or a single one, make each row differ; a tenth of the spread of each
    place does not."""
    baseline = unequal(*shape, axis=axis)
    all_lost, one_lost, scale = baseline.copy(), baseline.copy(), np.ones(baseline.shape)
    np.moveaxis(all_lost, axis, 0)[1:] = 0
    np.moveaxis(one_lost, axis, 0)[2] += 0.5
    np.moveaxis(scale, axis, 0)[0] = 300
    near = baseline + 0.1 * scale
    assert all(differing(baseline, all_lost))
    assert all(differing(baseline, one_lost))
    assert not any(differing(baseline, near))


def test_scores_that_may_be_classes_are_scaled_along_the_same_dimension() -> None:
    """At spreads of 1 and 100 of two channels, a shift by 3 of the small one is apart, of the large not."""
    meaning = Meaning(kind="classes", form="plain", spread=(1.0, 100.0), spread_axis=1)
    baseline = RANDOM.normal(size=(1, 2, 3))
    found = compare("tensors", baseline, baseline + 3, meaning).differ
    assert found.tolist() == [[True, False]]


@pytest.mark.parametrize(("constant", "scale"), [(5.0, 1.25), (-0.1, 0.025), (0.0, 2.0)])
def test_a_constant_place_has_a_scale_of_its_own(constant: float, scale: float) -> None:
    """It is a quarter of the constant, so that 5 % of it count; for 0 it is the smallest other spread."""
    signs = np.tile([1.0, -1.0], 10)
    numbers = np.column_stack([2 * signs, 1e4 * signs, np.full(20, np.float32(constant))])
    spread, _ = measure_spread(numbers)
    assert spread == pytest.approx((2, 1e4, scale))


@pytest.mark.parametrize(("answer", "differs"), [(5.2, False), (5.3, True), (0.0, True)])
def test_a_constant_place_is_held_to_its_value(answer: float, differs: bool) -> None:
    """A column of 5 beside columns in the thousands may become 5.2 and not 5.3."""
    baseline = RANDOM.normal(0, 1e4, (20, 4))
    baseline[:, 3] = 5
    variant = baseline.copy()
    variant[:, 3] = answer
    assert differing(baseline, variant) == [differs] * 20


def test_a_constant_channel_chooses_its_dimension() -> None:
    """A channel that is always 5 beside one in the thousands may not become 0."""
    baseline = RANDOM.normal(0, 1e4, (20, 2, 30))
    baseline[:, 1] = 5
    variant = baseline.copy()
    variant[:, 1] = 0
    assert all(differing(baseline, variant))


def test_an_output_of_only_constants_has_no_spread() -> None:
    """All of its values are 0."""
    assert measure_spread(np.full((9, 2), 5.0)) == ((0.0, 0.0), -1)


def test_older_bundles_have_the_spread_of_the_last_dimension() -> None:
    """They do not say of which dimension it is."""
    meaning = Meaning.model_validate({"kind": "numbers", "form": "plain", "spread": [1.0, 2.0]})
    assert scale_of(meaning, (9, 3, 2)).tolist() == [1, 2]
    assert meaning.spread_axis == -1


def test_a_dimension_of_another_size_has_one_scale() -> None:
    """The root mean square of all places, if a request has fewer of them."""
    meaning = Meaning(kind="numbers", form="plain", spread=(1.0, 7.0), spread_axis=1)
    assert scale_of(meaning, (9, 2, 3)).tolist() == [[1], [7]]
    assert scale_of(meaning, (9, 1, 3)).tolist() == [5]
    assert scale_of(meaning, (9,)).tolist() == [5]


CROSSED = np.array([[1, 1000], [1000, 1]])


@pytest.mark.parametrize("scales", [CROSSED, np.outer([1, 100], [1, 100])], ids=["crossed", "product"])
def test_scales_that_differ_in_two_dimensions_belong_to_each_number(scales: NDArray[Any]) -> None:
    """Each number of a row has its own spread, so that a small one that is lost differs in all rows."""
    numbers = RANDOM.normal(size=(60, 2, 2)) * scales
    spread, axis = measure_spread(numbers)
    assert axis == 0
    assert np.reshape(spread, (2, 2)) == pytest.approx(scales, rel=0.3)
    lost = numbers * np.array([[0, 1], [1, 1]])
    assert np.mean(differing(numbers, lost)) > 0.8
    assert not any(differing(numbers, numbers + 0.01 * scales))


def test_numbers_behind_a_relu_share_the_spread_of_their_channel() -> None:
    """More than 64 numbers share it, because some of them hardly ever vary."""
    numbers = np.maximum(RANDOM.normal(size=(60, 4, 5, 5)) - RANDOM.uniform(0, 3, (4, 5, 5)), 0)
    assert measure_spread(numbers)[1] != 0
