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
        (_numbers(1), _classes(9), "regression"),
        (_numbers(1), _numbers(), "regression"),
        (_numbers(3), _numbers(3), "regression"),
        (_numbers(), _classes(2), "binary"),
        (_numbers(1), _classes(2), "binary"),
        (_numbers(3), _classes(2, 3), "multilabel"),
        (_numbers(7, 5), _classes(5, 7), "token_classification"),
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
