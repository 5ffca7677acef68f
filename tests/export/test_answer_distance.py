"""The distance of two answers is relative to the scale of each column."""

from typing import Any

import numpy as np
import pytest

from export.answer_distance import SAME_FLOATS, largest_apart


def random(*shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers around 0."""
    return np.random.default_rng(0).normal(0, 1, shape)


def off(array: Any, place: tuple[int, ...], by: float) -> Any:
    """The array with one number that is off."""
    came = np.array(array)
    came[place] += by
    return came


def masked_class() -> Any:
    """One of three classes is out of the question for all rows."""
    return random(8, 3) * [1, 1, 0] - [0, 0, 1e9]


def masked_here_and_there() -> Any:
    """Each row has its own masks, most of its places."""
    return np.where(np.random.default_rng(1).random((8, 10)) < 0.7, -1e9, random(8, 10)) * 1.0


def lowest_floats() -> Any:
    """Masks are the least float, and an infinity."""
    wanted = random(8, 4)
    wanted[:, 1], wanted[::2, 2] = np.finfo(np.float32).min, -np.inf
    return wanted


def boxes(scores_last: bool) -> Any:
    """Return pixels of boxes and their scores."""
    wanted = np.abs(random(2, 50, 5)) * [640, 640, 640, 640, 0.1]
    return wanted if scores_last else wanted.transpose(0, 2, 1)


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        (masked_class(), (3, 0)),
        (masked_here_and_there(), tuple(np.argwhere(masked_here_and_there() > -1e8)[0])),
        (lowest_floats(), (3, 0)),
        (boxes(True), (1, 7, 4)),
        (boxes(False), (1, 4, 7)),
    ],
    ids=["a masked class", "masks here and there", "least floats", "scores last", "scores first"],
)
def test_large_places_hide_nothing(wanted: Any, place: tuple[int, ...]) -> None:
    """A difference of 0.01 in a small column is found beside a large one."""
    assert largest_apart(off(wanted, place, 0.01), wanted) > SAME_FLOATS
    assert largest_apart(wanted, wanted) == 0


@pytest.mark.parametrize("shape", [(9,), (9, 1), (1, 4000), (9, 4), (3, 4, 5, 6)])
def test_rounding_is_little(shape: tuple[int, ...]) -> None:
    """Rounding of large numbers is small, even for values near 0 among them."""
    wanted = random(*shape)
    assert largest_apart(wanted + 1e-6, wanted) < 1e-4


def test_few_bits_are_off_alike_in_all_places() -> None:
    """With `coarse`, all columns share a scale, so an error of 8 bits in a small one is small."""
    wanted = random(8, 5) * [1, 1, 1, 1, 0.01]
    came = wanted + 1e-3
    assert largest_apart(came, wanted, coarse=True) < 0.01
    assert largest_apart(came, wanted) > 0.01


@pytest.mark.parametrize(
    ("came", "wanted"),
    [
        ([1.0], [[1.0]]),
        ([np.nan], [1.0]),
        ([np.nan], [np.nan]),
        ([np.inf], [1.0]),
        ([1.0], [np.inf]),
        ([1e-9], [0.0]),
        ([998], [999]),
        (["a"], ["b"]),
    ],
)
def test_what_has_no_scale_is_endlessly_far(came: Any, wanted: Any) -> None:
    """Other shapes, NaN and different integers or strings have an infinite distance."""
    assert largest_apart(np.array(came), np.array(wanted)) == np.inf


def test_infinities_are_the_same() -> None:
    """Equal infinities have a distance of 0."""
    both = np.array([np.inf, -np.inf, 1.0])
    assert largest_apart(both, both.copy()) == 0


def test_nothing_is_as_near_as_nothing() -> None:
    """Two empty answers have a distance of 0."""
    assert largest_apart(random(3, 0), random(3, 0)) == 0
