"""Labels that are boxes, or the relevance of items."""

from typing import Any

import numpy as np
import pytest

from export.data.box_labels import read_boxes
from export.data.relevance_labels import read_relevance
from export.errors import InvalidData

BOX = [1, 2, 3, 4, 0]


def test_rows_may_have_any_number_of_boxes() -> None:
    """As a list of arrays, or as one array in which a class of -1 or NaN is no box."""
    listed = read_boxes("split", [[BOX, BOX], [], [BOX]], 3)
    assert (~np.isnan(listed[..., 4])).sum(axis=1).tolist() == [2, 0, 1]
    padded = np.full((3, 4, 5), -1.0)
    padded[0, 1], padded[0, 3], padded[2, 0] = BOX, BOX, BOX
    padded[1, 2] = np.nan
    read = read_boxes("split", padded, 3)
    assert np.array_equal(read[:, :2], listed, equal_nan=True)
    assert np.isnan(read[:, 2:]).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[BOX]], "has 2 rows and 1 labels"),
        ([[BOX], [[1, 2, 3, 4]]], r"label of row 1 is int64 of shape \[1, 4\]; expected \[boxes, 5\]"),
        ([[BOX], [[3, 2, 1, 4, 0]]], "of row 1 ends before it starts; give x1, y1, x2, y2"),
        ([[BOX], [[1, 2, 3, 4, 0.5]]], "of row 1 has a class that is no whole number"),
        ([[BOX], [[1, 2, 3, np.nan, 0]]], "of row 1 has a coordinate that is no number"),
        ([[], []], "no row has a box; give None"),
        (7, "has 2 rows and 0 labels"),
    ],
    ids=str,
)
def test_wrong_boxes_are_refused(labels: Any, message: str) -> None:
    """With the row."""
    with pytest.raises(InvalidData, match=message):
        read_boxes("split", labels, 2)


def test_the_relevance_may_name_the_query_of_each_row() -> None:
    """By any names."""
    labels = read_relevance("split", {"relevance": [1, 0, 2], "groups": ["b", "a", "b"]}, 3)
    assert labels.tolist() == [[1, 1], [0, 0], [2, 1]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones(2), r"float64 of shape \[2\]; expected the relevance"),
        ([[1, -1], [0, 0]], "relevance -1 in row 0 is not a number from 0"),
        (np.zeros((2, 3)), "no item is relevant"),
        ({"relevance": [1, 2]}, r"keys \['relevance'\]; expected \['relevance', 'groups'\]"),
        ({"relevance": [1, 2], "groups": [1]}, r"`groups` has the shape \[1\]; expected one number"),
    ],
    ids=str,
)
def test_a_wrong_relevance_is_refused(labels: Any, message: str) -> None:
    """With the value."""
    with pytest.raises(InvalidData, match=message):
        read_relevance("split", labels, 2)
