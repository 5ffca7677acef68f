"""Reads from the baseline's answers how the outputs of a detector say their boxes.

What the answers do not show is refused, with the key of the recipe that says it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportFailed
from serve.bundles.box_form import BoxCorners, BoxLayout
from serve.bundles.meaning import Rule
from serve.tasks.detections import IOU, LEAST_SCORE, NMS
from serve.tasks.join_outputs import join_outputs

Array = NDArray[Any]
_COORDINATES, _FINAL = 4, 6
# The batch, the boxes, and the numbers of a box.
_DIMENSIONS = 3
# There are this many times more boxes than numbers in a box, if sizes are to tell which is which.
_MORE_BOXES = 2
# The share of boxes whose second corner is above the first: of corners, and of centres with sizes.
_ORDERED, _UNORDERED = 0.99, 0.9
# Scores beyond 0..1 by less than this are rounding.
_ROUNDING = 1e-3


def complete_box_rule(name: str, rule: Rule, answers: Mapping[str, Array]) -> Rule:
    """Return the rule of the output `name` with every parameter that the recipe leaves out, read from the
    baseline's `answers` to many rows, [rows, ...] by output. Raises ExportFailed if they do not show it."""
    rule = _find_partners(name, rule, answers)
    output = join_outputs({name: rule}, answers)[name]
    _refuse_shape(name, rule, output)
    if rule.layout is None:
        layout, axis = _find_layout(name, rule, output)
        rule = rule.model_copy(update={"layout": layout, "axis": axis})
    numbers = np.moveaxis(output, rule.axis, -1).reshape(-1, output.shape[rule.axis])
    least = {"scores": 1, "objectness": 2, "final": 2}[rule.layout or "final"] + _COORDINATES
    if numbers.shape[1] < least or (rule.layout == "final" and numbers.shape[1] != _FINAL):
        raise ExportFailed(
            f"rules.{name}: the layout {rule.layout} has {'' if rule.layout == 'final' else 'at least '}"
            f"{least} numbers for each box, and dimension {rule.axis} of {list(output.shape)} has "
            f"{numbers.shape[1]}; correct `layout` or `axis`"
        )
    numbers = numbers[~np.isnan(numbers).any(axis=1)]
    return rule.model_copy(
        update={
            "activation": rule.activation or _find_activation(name, rule, numbers),
            "box": rule.box or _find_corners(name, numbers),
            "least_score": LEAST_SCORE if rule.least_score is None else rule.least_score,
            "iou": IOU if rule.iou is None else rule.iou,
            "nms": rule.nms if rule.nms is not None else 1.0 if rule.layout == "final" else NMS,
        }
    )


def _find_partners(name: str, rule: Rule, answers: Mapping[str, Array]) -> Rule:
    """Return the rule with the outputs that hold the scores and classes of boxes of 4 coordinates."""
    boxes = answers[name]
    if rule.scores is not None or boxes.ndim < _DIMENSIONS or boxes.shape[-1] != _COORDINATES:
        return rule
    count = boxes[0].size // _COORDINATES
    others = {key: array for key, array in answers.items() if key != name and count in array.shape[1:]}
    singles = {key: array for key, array in others.items() if array.ndim == _DIMENSIONS - 1}
    several = [key for key, array in others.items() if array.ndim == _DIMENSIONS]
    if len(several) == 1 and not singles:
        return rule.model_copy(update={"scores": several[0]})
    classes = [key for key, array in singles.items() if _are_whole(array)]
    scores = [key for key in singles if key not in classes]
    if len(scores) == 1 and len(classes) <= 1 and not several:
        update = {"scores": scores[0], "classes": classes[0] if classes else None}
        return rule.model_copy(update=update)
    known = ", ".join(f"{key} {list(array.shape)}" for key, array in answers.items())
    raise ExportFailed(
        f"the output {name} holds the 4 coordinates of boxes, and the outputs ({known}) do not show which "
        f"one holds the scores: write `rules: {{{name}: {{kind: boxes, scores: NAME}}}}`, and `classes: "
        "NAME` if another one holds the classes"
    )


def _refuse_shape(name: str, rule: Rule, output: Array) -> None:
    if output.dtype.kind == "f" and output.ndim == _DIMENSIONS and output.shape[rule.axis] > _COORDINATES:
        return
    raise ExportFailed(
        f"the output {name} is {output.dtype} {list(output.shape)}, with its scores; boxes have the shape "
        "[batch, boxes, numbers] or [batch, numbers, boxes], of floats, with 4 coordinates and the scores of "
        "each box, or are two outputs, [batch, boxes, 4] and scores: put the output with the boxes first in "
        f"`outputs`, or write `axis` in `rules: {{{name}: {{kind: boxes, axis: 1}}}}`"
    )


def _find_layout(name: str, rule: Rule, output: Array) -> tuple[BoxLayout, int]:
    if rule.scores is not None:
        return ("scores" if rule.classes is None else "final"), -1
    axis = rule.axis if rule.axis != -1 else _find_axis(name, output)
    numbers = np.moveaxis(output, axis, -1)
    if axis == 1:
        # The classes of a raw head of detection come first if it has no objectness.
        return "scores", 1
    last = numbers[..., -1]
    if numbers.shape[-1] == _FINAL and _are_whole(last) and _are_chances(numbers[..., _COORDINATES]):
        return "final", axis
    if numbers.shape[-1] == _COORDINATES + 1:
        return "scores", axis
    raise ExportFailed(
        f"the output {name} has {numbers.shape[-1]} numbers for each box, and its answers do not show what "
        f"they are: write `layout` in `rules: {{{name}: {{kind: boxes, layout: scores}}}}` (`scores`: 4 "
        "coordinates and a score for each class; `objectness`: the same with a factor of all scores before "
        "them; `final`: 4 coordinates, the score and the number of the class)"
    )


def _find_axis(name: str, output: Array) -> int:
    """Return the dimension of the numbers of a box: the one whose scores are chances, or which is much
    smaller."""
    _, first, last = output.shape
    fitting = [
        axis
        for axis, size in ((1, first), (-1, last))
        if size > _COORDINATES
        and (size == _FINAL or _are_chances(np.moveaxis(output, axis, -1)[..., _COORDINATES:]))
    ]
    if len(fitting) == 1:
        return fitting[0]
    if first >= _MORE_BOXES * last or last >= _MORE_BOXES * first:
        return 1 if first < last else -1
    raise ExportFailed(
        f"the output {name} has the shape {list(output.shape)}, which does not show the dimension of the "
        f"numbers of a box: write it in `rules: {{{name}: {{kind: boxes, layout: scores, axis: 1}}}}` "
        "(`axis: -1`: the last one)"
    )


def _find_activation(name: str, rule: Rule, numbers: Array) -> str:
    scores = numbers[:, _COORDINATES : _COORDINATES + 1 if rule.layout == "final" else None]
    if _are_chances(scores):
        return "none"
    raise ExportFailed(
        f"the scores of {name} lie in {scores.min():.3g}..{scores.max():.3g}, so they are no chances: write "
        f"`activation: sigmoid` (or `softmax`, with `background: -1` if the last class is none) in `rules: "
        f"{{{name}: {{kind: boxes}}}}`"
    )


def _find_corners(name: str, numbers: Array) -> BoxCorners:
    ordered = np.all(numbers[:, 2:4] >= numbers[:, :2], axis=1)
    share = float(ordered.mean()) if len(ordered) else 1.0
    if share >= _ORDERED:
        return "xyxy"
    if share <= _UNORDERED:
        return "cxcywh"
    raise ExportFailed(
        f"the coordinates of {name} do not show their form ({share:.1%} of them could be two corners): write "
        f"`box` in `rules: {{{name}: {{kind: boxes, box: cxcywh}}}}` (or xyxy, yxyx, xywh)"
    )


def _are_whole(numbers: Array) -> bool:
    known = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
    return bool((known == np.floor(known)).all() and known.min(initial=0) >= -1)


def _are_chances(numbers: Array) -> bool:
    known = numbers[~np.isnan(numbers)]
    return bool((known >= -_ROUNDING).all() and (known <= 1 + _ROUNDING).all())
