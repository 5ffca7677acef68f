"""Find the dimension of an output that holds the scores of the classes. Pure."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serve.tasks.answer_form import are_shares

Array = NDArray[Any]
# A label of a place that does not count: -100 (and below 0 in general), or 255 in bytes.
_NO_BYTE = 255


class ClassAxis(NamedTuple):
    """The dimension, 1 or the last, and what shows it."""

    axis: int
    reason: str


def find_class_axis(answer: Array, labels: Array) -> ClassAxis | None:
    """Return the dimension of the scores in an output, [rows, ...] with three or more dimensions, whose
    `labels` are the classes of its other dimensions; None if there is none.

    If both the second and the last dimension fit, shares that sum to 1 decide, then the labels: the class
    with the highest score must be the label more often."""
    counted = labels[(labels >= 0) & ~((labels == _NO_BYTE) & (labels.dtype == np.uint8))]
    last = answer.ndim - 1
    fitting = [
        axis
        for axis in (1, last)
        if labels.shape == answer.shape[:axis] + answer.shape[axis + 1 :]
        and int(counted.max(initial=0)) < answer.shape[axis]
    ]
    if len(fitting) < 2 or last == 1:
        return ClassAxis(fitting[0], "the shape of the labels is that of the others") if fitting else None
    summed = [axis for axis in fitting if _sums_to_one(answer, axis)]
    if len(summed) == 1:
        return ClassAxis(summed[0], "its numbers sum to 1")
    right = {axis: float((answer.argmax(axis) == labels).mean()) for axis in fitting}
    axis = max(right, key=right.__getitem__)
    [other] = {*fitting} - {axis}
    return ClassAxis(
        axis,
        f"its highest score is the label at {right[axis]:.0%} of the places, that of dimension {other} at "
        f"{right[other]:.0%}",
    )


def find_share_axis(answer: Array) -> int | None:
    """Return the dimension, the second or the last, whose numbers sum to 1; None if neither or both do."""
    summed = [axis for axis in (1, answer.ndim - 1) if answer.shape[axis] > 1 and _sums_to_one(answer, axis)]
    return summed[0] if len(summed) == 1 else None


def _sums_to_one(answer: Array, axis: int) -> bool:
    """Whether the numbers along the dimension are shares, or logarithms of shares."""
    items = np.moveaxis(answer, axis, -1).astype(np.float64)
    return bool(are_shares(items).all() or (items.max() <= 0 and are_shares(np.exp(items)).all()))
