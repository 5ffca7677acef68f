"""Finds the output of a model that holds boxes. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportFailed
from export.proof.box_reading import complete_box_rule
from serve.bundles.meaning import Rule

Array = NDArray[Any]
_COORDINATES, _LABEL = 4, 5
# The batch, the boxes, and the numbers of a box.
_DIMENSIONS = 3
# Outputs of a detector before suppression have at least this many times more boxes than numbers in a box.
_MANY = 4
# Coordinates in pixels reach beyond this; chances do not.
_PIXELS = 2.0


class FoundBoxes(NamedTuple):
    """The output with the coordinates, and what it has."""

    output: str
    reason: str


def find_boxes(answers: Mapping[str, Array], labels: Array | None = None) -> FoundBoxes | None:
    """Return the output, [rows, ...], that is one of boxes beyond doubt; with `labels` of boxes, the first
    one that may be."""
    if labels is not None and not _are_boxes(labels):
        return None
    for name, answer in answers.items():
        if answer.dtype.kind != "f" or answer.ndim < _DIMENSIONS:
            continue
        try:
            rule = complete_box_rule(name, Rule(kind="boxes"), answers)
        except ExportFailed:
            continue
        if rule.scores is not None:
            if labels is not None or "box" in name.lower():
                return FoundBoxes(name, f"the coordinates of boxes, and {rule.scores} has their scores")
        elif labels is not None or _are_pixels(rule, answer):
            last = "the score and the class" if rule.layout == "final" else "the scores"
            return FoundBoxes(name, f"the coordinates of boxes and {last} of each")
    return None


def _are_boxes(labels: Array) -> bool:
    """Whether labels are two corners and a class, with -1 or NaN for boxes that a row does not have."""
    if labels.dtype.kind not in "fiu" or labels.ndim != _DIMENSIONS or labels.shape[2] != _LABEL:
        return False
    boxes = labels[np.isfinite(labels).all(axis=2) & (labels[..., 4] >= 0)]
    ordered = (boxes[:, 2:4] >= boxes[:, :2]).all()
    return bool(len(boxes) and ordered and (boxes[:, 4] == np.floor(boxes[:, 4])).all())


def _are_pixels(rule: Rule, answer: Array) -> bool:
    """Whether an output whose other numbers are chances, or a chance and a class, has coordinates in
    pixels."""
    numbers = np.moveaxis(answer, rule.axis, -1)
    many = numbers.shape[1] >= _MANY * numbers.shape[2]
    beyond = float(np.nanmax(numbers[..., :_COORDINATES], initial=0)) > _PIXELS
    return beyond and (rule.layout == "final" or many)
