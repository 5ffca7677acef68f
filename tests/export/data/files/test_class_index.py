"""Names of classes become the indexes of the model's scores."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.data.files.class_index import index_classes
from export.errors import InvalidData


def names(*words: str) -> NDArray[Any]:
    """Return labels as a file has them."""
    return np.array(words, object)


def test_the_alphabet_orders_the_classes() -> None:
    """The classes are in alphabetical order over all files, of which each may lack some classes."""
    labels, found = index_classes({"a": names("dog", "ant"), "b": names("cat", "dog")}, ())
    assert found == ("ant", "cat", "dog")
    assert {place: array.tolist() for place, array in labels.items()} == {"a": [2, 0], "b": [1, 2]}


def test_the_models_names_come_first() -> None:
    """Labels get the indexes of the model's names, and no other names are returned."""
    labels, found = index_classes({"a": np.array(["dog", "ant"])}, ("dog", "cat", "ant"))
    assert (labels["a"].tolist(), found) == ([0, 2], ())


def test_numbers_are_indexes_already() -> None:
    """Labels that are numbers stay the same, and the model's names are not returned."""
    labels, found = index_classes({"a": np.array([4, 2])}, ("dog", "cat"))
    assert (labels["a"].tolist(), found) == ([4, 2], ())


def test_refuses_a_name_that_the_model_does_not_have() -> None:
    """The error names the unknown label, its row and the nearest name."""
    with pytest.raises(InvalidData, match=r"a: the label 'cta' of row 1 is no class .*did you mean 'cat'"):
        index_classes({"a": names("dog", "cta")}, ("dog", "cat"))


def test_refuses_names_and_numbers() -> None:
    """Names in one file and numbers in another are refused."""
    with pytest.raises(
        InvalidData, match="the labels of a are names, such as 'dog', and those of b are numb"
    ):
        index_classes({"a": names("dog"), "b": np.array([1])}, ())


def test_numbers_as_names_keep_their_order() -> None:
    """Numbers as names keep their order; if the alphabet would order them otherwise, they are refused, unless
    the model names them."""
    assert index_classes({"a": names("7", "3", "5")}, ())[1] == ("3", "5", "7")
    with pytest.raises(
        InvalidData, match=r"alphabetical order \(1, 10, 9, \.\.\.\) is not that of the numbers"
    ):
        index_classes({"a": names("1", "9", "10")}, ())
    assert index_classes({"a": names("9", "10")}, ("1", "9", "10"))[0]["a"].tolist() == [1, 2]
