"""Rows of several shapes are one split, and only rows of one shape run together."""

from typing import Any

import numpy as np
import pytest

from export.data.datasets import Split, read_data, read_split
from export.errors import InvalidData
from export.onnx.probe_rows import PROBES, probe
from export.training.batches import ordered_batches, random_batches

SHAPES = ((1, 4, 4), (1, 4, 6), (1, 8, 6))


def images(count: int, first: int = 0, shapes: Any = SHAPES) -> list[Any]:
    """Different images, in these shapes by turns."""
    random = np.random.default_rng(first)
    return [
        random.normal(0, 1, shapes[number % len(shapes)]).astype(np.float32) + first
        for number in range(count)
    ]


def split_of(rows: Any, name: str = "image") -> Split:
    """A split of an input with these rows."""
    return read_split("made", ({name: rows}, None), None, of_file=True)


def test_rows_keep_their_numbers() -> None:
    """Each row alone is what was given, without padding."""
    rows = images(7)
    split = split_of(rows)
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(split.take(np.array([number]))["image"], row[None])


def test_rows_of_several_shapes_are_cut_to_what_they_share() -> None:
    """Together, they have the least size of them in each dimension."""
    rows = images(3)
    came = split_of(rows).take(np.array([2, 1]))["image"]
    np.testing.assert_array_equal(came, [rows[2][:, :4, :6], rows[1]])


@pytest.mark.parametrize("batches", [ordered_batches, lambda split: random_batches(split, 2)])
def test_batches_have_one_shape_and_every_row(batches: Any) -> None:
    """All rows are in one batch each, and a batch has rows of one shape."""
    split = split_of(images(11))
    made = batches(split)
    assert sorted(np.concatenate(made)) == list(range(11))
    assert all(len(set(split.shapes[rows])) == 1 for rows in made)


def test_probes_have_several_shapes() -> None:
    """The rows that try a graph come in the first shape, the last, and ones between."""
    split = split_of(images(9))
    shapes = {probe(split, *each)["image"].shape[1:] for each in PROBES}
    assert shapes == set(SHAPES)


def test_a_size_that_differs_is_free_in_every_split() -> None:
    """A dimension that differs in one split has one name in all; others keep their number."""
    parts = {"calibration": images(6), "search": images(4, 10, SHAPES[:1]), "held_out": images(6, 20)}
    data = read_data({name: ({"image": rows}, None) for name, rows in parts.items()}, "make")
    assert {split.dims["image"] for split in data.splits.values()} == {("batch", 1, "image_2", "image_3")}


def test_a_row_in_two_splits_is_found() -> None:
    """It is the same row in a split of one shape as in one of several."""
    rows = images(6)
    parts = {"calibration": rows, "search": [rows[0], rows[3]], "held_out": images(6, 20)}
    with pytest.raises(InvalidData, match="calibration and search share 2 rows"):
        read_data({name: ({"image": each}, None) for name, each in parts.items()}, "make")


@pytest.mark.parametrize("odd", [np.zeros((1, 4), np.float32), np.zeros((1, 4, 5))])
def test_rows_of_other_kinds_are_refused(odd: Any) -> None:
    """Another number of dimensions or another type is refused, with its row."""
    with pytest.raises(InvalidData, match=r"image holds float(32|64) .* in row 6 and float32 \[1, 4, 4\]"):
        split_of([*images(6), odd])
