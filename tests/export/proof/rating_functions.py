"""Functions that a recipe could name as its `metric`: good ones and faulty ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Outputs = dict[str, NDArray[Any]]


def hit(outputs: Outputs, labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether the top class of each row is right."""
    return np.asarray(outputs["scores"].argmax(axis=1) == labels)


def macro_f1(outputs: Outputs, labels: NDArray[Any]) -> float:
    """The macro-F1 of the rows."""
    table = np.bincount(3 * labels + outputs["scores"].argmax(axis=1), minlength=9).reshape(3, 3)
    return float((2 * table.diagonal() / (table.sum(axis=0) + table.sum(axis=1))).mean())


def size_of_error(outputs: Outputs, labels: NDArray[Any]) -> NDArray[Any]:
    """How far each number is off."""
    return np.asarray(np.abs(outputs["scores"][:, 0] - labels))


def share_of_first(outputs: Outputs, labels: NDArray[Any]) -> float:
    """The share of the rows whose top class is the first; it takes no labels."""
    return float((outputs["scores"].argmax(axis=1) == 0).mean())


def of_varied_scores(outputs: Outputs, labels: NDArray[Any]) -> float:
    """A figure that does not exist for a constant."""
    return float("nan") if np.ptp(outputs["scores"], axis=0).max() == 0 else 1.0


def raises(outputs: Outputs, labels: NDArray[Any]) -> float:
    return float(outputs["logits"].mean())


def is_wide(outputs: Outputs, labels: NDArray[Any]) -> NDArray[Any]:
    return outputs["scores"]


def is_nothing(outputs: Outputs, labels: NDArray[Any]) -> None:
    pass


def is_nan(outputs: Outputs, labels: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.arange(len(labels)) == 7, np.nan, 1.0)


def is_text(outputs: Outputs, labels: NDArray[Any]) -> str:
    return "good"


def is_random(outputs: Outputs, labels: NDArray[Any]) -> float:
    return float(np.random.default_rng().random())


def changes_its_input(outputs: Outputs, labels: NDArray[Any]) -> float:
    outputs["scores"] -= 1
    return 0.0


def of_few_rows(outputs: Outputs, labels: NDArray[Any]) -> float:
    """A figure of distinct rows only, so hardly any draw has one."""
    if len(np.unique(outputs["scores"][:, 0])) < len(labels):
        raise ValueError("rows repeat")
    return 1.0
