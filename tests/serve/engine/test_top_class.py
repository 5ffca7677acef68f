import numpy as np
import pytest

from serve.bundles.meaning import Meaning, Task
from serve.engine.batch import Outputs
from serve.engine.top_class import top_class


@pytest.mark.parametrize(
    ("outputs", "top"),
    [
        ({"y": np.array([[0.1, 0.7, 0.2]], np.float32)}, (1, 3)),
        ({"length": np.array([3]), "y": np.array([[5.0, 2.0]])}, (0, 2)),
        ({"y": np.array([[0.1, 0.9], [0.8, 0.2]])}, None),
        ({"y": np.array([[0.3]])}, None),
        ({"y": np.array([["cat", "dog"]])}, None),
        ({"y": np.zeros((1, 5, 2))}, None),
        ({"y": np.array([[0.1, np.nan, 0.2]])}, None),
        ({}, None),
    ],
    ids=["scores", "second output", "two rows", "one number", "strings", "tokens", "not a number", "nothing"],
)
def test_an_answer_of_one_row_of_scores_says_one_class(outputs: Outputs, top: tuple[int, int] | None) -> None:
    """Only an answer with one row of scores has a top class; it is given with the number of classes."""
    assert top_class(outputs, "classification", {}) == top


@pytest.mark.parametrize(
    ("scores", "top"),
    [
        ([0.31], (1, 2)),
        ([[0.29]], (0, 2)),
        ([0.31, 0.1], None),
        ([[np.nan]], None),
    ],
    ids=["above", "below", "two rows", "not a number"],
)
def test_a_single_score_says_whether_it_is_above_the_threshold(
    scores: list[float], top: tuple[int, int] | None
) -> None:
    """A binary answer names class 1 or 0 by the threshold that the bundle records."""
    meanings = {"y": Meaning(kind="labels", threshold=0.3)}
    assert top_class({"y": np.array(scores, np.float32)}, "binary", meanings) == top


@pytest.mark.parametrize("task", ["multilabel", "regression", "ranking", "segmentation", "embedding"])
def test_the_largest_number_of_other_tasks_is_no_class(task: Task) -> None:
    """The place of the largest of several prices or labels means nothing."""
    meanings = {"y": Meaning(kind="labels", threshold=0.3)}
    assert top_class({"y": np.array([[0.1, 0.7]], np.float32)}, task, meanings) is None
