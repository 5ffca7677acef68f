"""The task is guessed from the answers and the labels of the same rows."""

from typing import Any

import numpy as np
import pytest

from export.compress.guess_task import guess_task
from export.errors import InvalidData

_RANDOM = np.random.default_rng(0)
_ROWS = 40


def _numbers(*shape: int) -> Any:
    return _RANDOM.normal(size=(_ROWS, *shape)).astype(np.float32)


def _shares(*shape: int) -> Any:
    powers = np.exp(_numbers(*shape))
    return powers / powers.sum(axis=-1, keepdims=True)


def _classes(count: int, *shape: int) -> Any:
    return _RANDOM.integers(0, count, (_ROWS, *shape))


@pytest.mark.parametrize(
    ("answer", "labels", "task"),
    [
        (_numbers(10), _classes(10), "classification"),
        (_numbers(), _classes(2), "binary"),
        (_numbers(1), _classes(2, 1), "binary"),
        (_numbers(1), _classes(9), "regression"),
        (_numbers(1), _numbers(), "regression"),
        (_numbers(3), _numbers(3), "regression"),
        (_numbers(6), _classes(2, 6), "multilabel"),
        (_numbers(7, 5), _classes(5, 7), "token_classification"),
        (_numbers(5, 8, 8), _classes(5, 8, 8), "segmentation"),
        (_numbers(8, 8, 5), _classes(5, 8, 8), "segmentation"),
    ],
)
def test_labels_show_the_task(answer: Any, labels: Any, task: str) -> None:
    """The shapes of an output and of the labels, and the labels' values, decide."""
    assert guess_task({"y": answer}, labels).task == task


@pytest.mark.parametrize(
    ("name", "answer", "task"),
    [
        ("y", _shares(10), "classification"),
        ("y", np.log(_shares(10)), "classification"),
        ("y", _shares(7, 5), "token_classification"),
        ("y", np.moveaxis(_shares(8, 8, 5), -1, 1), "segmentation"),
        ("logits", _numbers(10), "classification"),
        ("sentence_embedding", _numbers(64), "embedding"),
        ("y", _numbers(10), "tensors"),
        ("y", _numbers(), "tensors"),
        ("y", _RANDOM.random((_ROWS, 1), np.float32), "tensors"),
    ],
)
def test_answers_show_the_task_without_labels(name: str, answer: Any, task: str) -> None:
    """Without labels, shares of 1 are classes, names can tell scores and embeddings, and the rest are
    tensors."""
    assert guess_task({name: answer}).task == task


def test_vectors_of_length_1_are_embeddings() -> None:
    """Rows of length 1 with many dimensions are embeddings."""
    vectors = _numbers(64)
    assert guess_task({"y": vectors / np.linalg.norm(vectors, axis=1, keepdims=True)}).task == "embedding"


def test_the_output_that_fits_is_named() -> None:
    """scikit-learn's classifiers give the class first and the scores second: the scores fit the labels."""
    labels = _classes(3)
    guess = guess_task({"label": labels, "probabilities": _shares(3)}, labels)
    assert (guess.output, guess.task) == ("probabilities", "classification")


def test_labels_that_fit_no_output_are_refused() -> None:
    """The error names the shapes of the labels and of the outputs."""
    with pytest.raises(InvalidData, match=r"int64 \[40, 3\].*y \[40, 10\].*--task"):
        guess_task({"y": _numbers(10)}, _classes(3, 3))


_MAPS = _classes(4, 4, 4)
_OF_MAPS = np.eye(4, dtype=np.float32)[_MAPS] * 2 + _numbers(4, 4, 4)


@pytest.mark.parametrize(
    ("answer", "labels", "rules"),
    [
        (_OF_MAPS, _MAPS, {}),
        (np.moveaxis(_OF_MAPS, -1, 1), _MAPS, {"y": {"kind": "classes", "axis": 1}}),
        (_shares(4, 4, 4), _classes(4, 4, 4), {}),
        (np.moveaxis(_shares(4, 4, 4), -1, 1), _classes(4, 4, 4), {"y": {"kind": "classes", "axis": 1}}),
        (_shares(4, 4, 4), None, {}),
        (np.moveaxis(_shares(4, 4, 4), -1, 1), None, {"y": {"kind": "classes", "axis": 1}}),
    ],
)
def test_dimensions_of_one_size_are_told_apart(answer: Any, labels: Any, rules: dict[str, Any]) -> None:
    """If the scores may lie along two dimensions, sums of 1 and the labels decide, and the reason says so."""
    guess = guess_task({"y": answer}, labels)
    assert (guess.task, guess.rules) == ("segmentation", rules)


@pytest.mark.parametrize(
    ("answer", "labels", "task"),
    [
        (_numbers(4), _classes(4) + 1, "classification"),
        (_numbers(4, 8, 8), _classes(4, 8, 8) + 1, "segmentation"),
    ],
)
def test_labels_that_begin_at_1_are_refused(answer: Any, labels: Any, task: str) -> None:
    """Labels of 1 to 4 for 4 classes are refused with what to do."""
    with pytest.raises(InvalidData, match=f"labels are 1 to 4, and would fit as {task}.*subtract 1"):
        guess_task({"y": answer}, labels)


def test_scores_along_the_second_dimension_get_a_rule() -> None:
    """The task says nothing of the dimension of the classes, so the recipe does."""
    assert guess_task({"y": _numbers(5, 8, 8)}, _classes(5, 8, 8)).rules == {
        "y": {"kind": "classes", "axis": 1}
    }
    assert guess_task({"y": _numbers(8, 8, 5)}, _classes(5, 8, 8)).rules == {}


def _boxes(*shape: int, scores: int = 3) -> Any:
    """Centres with sizes in pixels, and chances."""
    return np.concatenate(
        [_RANDOM.uniform(10, 600, (_ROWS, *shape, 4)), _RANDOM.random((_ROWS, *shape, scores))], axis=-1
    ).astype(np.float32)


def _corners(boxes: Any) -> Any:
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:4]], axis=-1)


_RAW = _boxes(100)
_FINAL = np.concatenate([_corners(_RAW), _RAW[..., 4:5], _classes(3, 100, 1)], axis=-1).astype(np.float32)
_TRUTH = np.concatenate([_corners(_RAW[:, :2]), _classes(3, 2, 1)], axis=-1)


@pytest.mark.parametrize(
    ("answers", "labels", "output"),
    [
        ({"y": np.moveaxis(_RAW, -1, 1)}, None, "y"),
        ({"y": _FINAL}, None, "y"),
        ({"scores": _RAW[..., 4:], "boxes": _corners(_RAW)}, None, "boxes"),
        ({"scores": _RAW[..., 4:], "a": _corners(_RAW)}, _TRUTH, "a"),
        ({"y": np.moveaxis(_RAW[:, :12], -1, 1)}, _TRUTH, "y"),
    ],
    ids=["raw", "final", "named", "labelled", "few"],
)
def test_boxes_are_recognized(answers: Any, labels: Any, output: str) -> None:
    """By their numbers and names, or by labels of corners and a class."""
    guess = guess_task(answers, labels)
    assert (guess.task, guess.output) == ("detection", output)


@pytest.mark.parametrize(
    "answers",
    [
        {"y": np.moveaxis(_RAW[:, :12], -1, 1)},
        {"scores": _RAW[..., 4:], "a": _corners(_RAW)},
        {"y": _RAW},
        {"y": _numbers(7, 100)},
        {"y": _RAW[..., 4:]},
    ],
    ids=["few", "unnamed", "rows", "numbers", "chances"],
)
def test_what_may_be_boxes_is_compared_as_tensors(answers: Any) -> None:
    """Without labels, nothing is guessed that the numbers do not show."""
    assert guess_task(answers).task == "tensors"
