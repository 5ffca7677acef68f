import numpy as np
import pytest

from serve.engine.batch import Outputs
from serve.engine.top_class import sound_class, top_class


@pytest.mark.parametrize(
    ("outputs", "top"),
    [
        ({"y": np.array([[0.1, 0.7, 0.2]], np.float32)}, 1),
        ({"length": np.array([3]), "y": np.array([[5.0, 2.0]])}, 0),
        ({"y": np.array([[0.1, 0.9], [0.8, 0.2]])}, None),
        ({"y": np.array([[0.3]])}, None),
        ({"y": np.array([["cat", "dog"]])}, None),
        ({"y": np.zeros((1, 5, 2))}, None),
        ({}, None),
    ],
    ids=["scores", "second output", "two rows", "one number", "strings", "tokens", "nothing"],
)
def test_an_answer_of_one_row_of_scores_says_one_class(outputs: Outputs, top: int | None) -> None:
    """Only an answer with one row of scores has a top class."""
    assert top_class(outputs) == top


def test_a_class_is_sound_where_all_its_scores_are_numbers() -> None:
    """The top class is given with the number of classes, or None if a score is NaN or a string."""
    assert sound_class({"y": np.array([[0.1, 0.7, 0.2]], np.float32)}) == (1, 3)
    assert sound_class({"y": np.array([[0.1, np.nan, 0.2]], np.float32)}) is None
    assert sound_class({"y": np.array([["cat", "dog"]])}) is None
