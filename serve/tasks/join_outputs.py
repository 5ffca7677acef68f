"""Joins outputs that only together are one answer, such as the boxes and the scores of a detector. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Rule

_COORDINATES = 4


def join_outputs(rules: Mapping[str, Rule], outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The outputs, [rows, ...] of each, with those that a rule names as `scores` and `classes` behind the
    coordinates of its own output, [rows, boxes, 4 + ...], instead of beside it.

    If their shapes do not fit each other, the output stays as it is."""
    joined = dict(outputs)
    for name, rule in rules.items():
        partners = [joined.pop(partner) for partner in (rule.scores, rule.classes) if partner in joined]
        boxes = joined.get(name)
        if not partners or boxes is None or boxes.shape[-1] != _COORDINATES:
            continue
        boxes = boxes.reshape(len(boxes), -1, _COORDINATES)
        parts = [boxes, *(_by_box(partner, boxes.shape[1]) for partner in partners)]
        if all(part.shape[:-1] == boxes.shape[:-1] for part in parts):
            joined[name] = np.concatenate(parts, axis=-1, dtype=np.float32)
    return joined


def _by_box(numbers: NDArray[Any], boxes: int) -> NDArray[Any]:
    """The numbers of each box, [rows, boxes, ...], of an output that has the boxes in any dimension."""
    if numbers.shape[1:] == (boxes,):
        return numbers[..., None]
    return np.moveaxis(numbers, 1, -1) if numbers.shape[-1] == boxes != numbers.shape[1] else numbers
