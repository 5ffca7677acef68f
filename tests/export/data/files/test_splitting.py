"""Rows are divided at random, in proportion, and equal ones stay together."""

import numpy as np
import pytest
from numpy.typing import NDArray

from export.data.files.splitting import split_rows
from export.errors import InvalidData

SHARES = {"train": 0.5, "calibration": 0.1, "search": 0.15, "held_out": 0.25}


def split(
    hashes: list[str], classes: list[int] | None = None, seed: int = 0, **shares: float
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each split."""
    numbers = None if classes is None else np.array(classes)
    return split_rows("rows.npz", hashes, numbers, {**SHARES, **shares}, seed)


def distinct(count: int) -> list[str]:
    """Return the hashes of this number of different rows."""
    return [f"row {number}" for number in range(count)]


def test_every_row_is_in_one_split_of_the_stated_size() -> None:
    """Each of 200 rows is in one split, and the sizes equal the shares."""
    parts = split(distinct(200))
    assert {name: len(rows) for name, rows in parts.items()} == {
        "train": 100,
        "calibration": 20,
        "search": 30,
        "held_out": 50,
    }
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(200))


def test_the_seed_decides() -> None:
    """The same seed gives the same rows, and another seed others; neither keeps the order of the file."""
    one, same, other = (split(distinct(200), seed=seed)["held_out"].tolist() for seed in (3, 3, 4))
    assert one == same
    assert set(one) != set(other)
    assert one != sorted(one)


def test_no_share_is_no_split() -> None:
    """A share of 0 gives no split, and the others have all rows."""
    parts = split(distinct(100), train=0, calibration=0.2, search=0.2, held_out=0.6)
    assert {name: len(rows) for name, rows in parts.items()} == {
        "calibration": 20,
        "search": 20,
        "held_out": 60,
    }


@pytest.mark.parametrize("seed", range(5))
def test_every_split_has_the_classes_in_proportion(seed: int) -> None:
    """The rows of each class in a split equal its share, give or take one."""
    classes = [0] * 120 + [1] * 40 + [2] * 40
    parts = split(distinct(200), classes, seed)
    for name, share in SHARES.items():
        counts = np.bincount(np.array(classes)[parts[name]], minlength=3)
        assert counts.sum() == 200 * share
        assert np.abs(counts - np.array([120, 40, 40]) * share).max() <= 1, name


def test_the_first_rows_of_a_split_have_all_classes() -> None:
    """The first 8 of 100 rows of a split have all four classes."""
    rows = split(distinct(1000), [number // 250 for number in range(1000)])["calibration"]
    assert set((rows[:8] // 250).tolist()) == {0, 1, 2, 3}


def test_a_class_of_one_row_is_somewhere() -> None:
    """A class of one row is in exactly one split."""
    parts = split(distinct(101), [0] * 100 + [1])
    assert sum(100 in rows for rows in parts.values()) == 1


@pytest.mark.parametrize("seed", range(5))
def test_equal_rows_are_in_one_split(seed: int) -> None:
    """Three copies of a row are in one split, with and without different labels."""
    hashes = distinct(100) * 3
    for classes in (None, [number % 7 for number in range(300)]):
        parts = split(hashes, classes, seed)
        for one in parts.values():
            found, counts = np.unique(one % 100, return_counts=True)
            assert (counts == 3).all()
            assert len(found) * 3 == len(one)
        assert sum(map(len, parts.values())) == 300


@pytest.mark.parametrize(
    ("hashes", "message"),
    [
        (
            distinct(12),
            r"rows\.npz has 12 different rows, which leaves 1 for the split calibration .* of 0.1;",
        ),
        (distinct(2) * 50, "has 2 different rows, which leaves [01] for the split train"),
    ],
)
def test_refuses_too_few_rows(hashes: list[str], message: str) -> None:
    """Rows that leave a split fewer than two different ones are refused."""
    with pytest.raises(InvalidData, match=message):
        split(hashes)
