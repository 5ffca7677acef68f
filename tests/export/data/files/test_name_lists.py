"""Lists of names become 1 or 0 for each name."""

from typing import Any

import numpy as np
import pytest

from export.data.files.name_lists import mark_names
from export.errors import InvalidData


def lists(*rows: Any) -> Any:
    """Return an array with a list for each row, as files give it."""
    return np.fromiter(rows, object, len(rows))


def test_each_name_has_a_column_in_alphabetical_order() -> None:
    """A row without a label has 0 everywhere, and all files share the columns."""
    marked, names = mark_names({"a": lists(["dog", "cat"], []), "b": lists(["owl"])}, ())
    assert names == ("cat", "dog", "owl")
    assert {place: array.tolist() for place, array in marked.items()} == {
        "a": [[1, 1, 0], [0, 0, 0]],
        "b": [[0, 0, 1]],
    }


def test_the_order_of_the_model_decides() -> None:
    """Names that the model has are columns in its order, and are not given again."""
    marked, names = mark_names({"a": lists(["cat"], ["dog"])}, ("dog", "cat", "owl"))
    assert (names, marked["a"].tolist()) == ((), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("labels", [np.eye(2, dtype=np.int64), lists([1, 0], [0, 1])], ids=["array", "lists"])
def test_numbers_stay_as_they_are(labels: Any) -> None:
    """Labels that are 1 or 0 already are returned."""
    marked, names = mark_names({"a": labels}, ("dog", "cat"))
    assert marked["a"] is labels
    assert names == ()


@pytest.mark.parametrize("name", ["dgo", 1])
def test_an_unknown_name_is_told_with_the_nearest_one(name: Any) -> None:
    """The error names the file, the row and the label."""
    with pytest.raises(InvalidData, match=f"a: the label {name!r} of row 1 is no label of the model"):
        mark_names({"a": lists(["dog"], [name])}, ("dog", "cat"))
