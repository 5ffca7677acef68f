"""Reads the detections in an answer of a detector: the boxes with a score that is high enough. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.bundles.box_form import BoxCorners
from serve.bundles.meaning import Rule

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
# The values of parameters that the rule does not set.
LEAST_SCORE, IOU, NMS = 0.25, 0.5, 0.5
# The most boxes of a row that are compared with each other, and that remain: those with the highest scores.
_CANDIDATES, _DETECTIONS = 1000, 300
_COORDINATES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Detections:
    """The detections of one row, those with the highest scores first."""

    # Two corners of each, [detections, 4]: x1, y1, x2, y2.
    boxes: Floats
    # [detections].
    scores: Floats
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)


def read_detections(rule: Rule, answers: Array, least_score: float | None = None) -> Iterator[Detections]:
    """Yield the detections of each row of an output that is compared by `rule`, [rows, ...].

    Boxes with NaN are none. `least_score` replaces the rule's."""
    if least_score is None:
        least_score = LEAST_SCORE if rule.least_score is None else rule.least_score
    for row in np.moveaxis(answers, rule.axis, 1):
        yield _read_row(rule, row, least_score)


def sum_scores(rule: Rule, answers: Array) -> Floats:
    """The sum of the scores of the detections of each class, [rows, classes]."""
    rows = list(read_detections(rule, answers))
    classes = max((int(row.classes.max(initial=0)) for row in rows), default=0) + 1
    return np.array([np.bincount(np.maximum(row.classes, 0), row.scores, classes) for row in rows])


def overlap(one: Floats, other: Floats) -> Floats:
    """The intersection over the union of all pairs of boxes, [boxes, others]; 1 for equal boxes."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    sizes = [np.prod(np.maximum(each[:, 2:] - each[:, :2], 0), axis=-1) for each in (one, other)]
    union = sizes[0][:, None] + sizes[1] - shared
    equal = (one[:, None] == other).all(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.where(equal, 1.0, shared / np.where(union > 0, union, 1.0))


def to_corners(form: BoxCorners | None, coordinates: Floats) -> Floats:
    """Two corners, x1, y1, x2, y2, of boxes in this form, [boxes, 4]."""
    if form == "yxyx":
        return coordinates[:, [1, 0, 3, 2]]
    if form not in ("cxcywh", "xywh"):
        return coordinates
    place, size = coordinates[:, :2], coordinates[:, 2:]
    first = place - size / 2 if form == "cxcywh" else place
    return np.concatenate([first, first + size], axis=1)


def _read_row(rule: Rule, numbers: NDArray[Any], least_score: float) -> Detections:
    best, scores = _best_scores(rule, numbers)
    places = np.flatnonzero(best >= least_score)
    order = np.argsort(-best[places], kind="stable")[:_CANDIDATES]
    places = places[order]
    kept = numbers[:, places].astype(np.float64)
    if rule.layout == "final":
        classes = np.nan_to_num(kept[_COORDINATES + 1], nan=-1).astype(np.int64)
    else:
        classes = scores[:, places].argmax(axis=0)
        if rule.background is not None:
            classes += classes >= rule.background % (len(scores) + 1)
    boxes = to_corners(rule.box, kept[:_COORDINATES].T)
    found = Detections(boxes=boxes, scores=best[places].astype(np.float64), classes=classes)
    limit = rule.nms if rule.nms is not None else 1.0 if rule.layout == "final" else NMS
    first = (_suppress(found, limit) if limit < 1 else np.arange(len(found)))[:_DETECTIONS]
    return Detections(boxes=boxes[first], scores=found.scores[first], classes=classes[first])


def _best_scores(rule: Rule, numbers: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the best score of each box as a chance, [boxes], and the scores of all classes, [classes,
    boxes], without the background."""
    raw = numbers[_COORDINATES + (rule.layout == "objectness") :]
    if rule.layout == "final":
        raw = raw[:1]
    total = None
    with np.errstate(all="ignore"):
        if rule.activation == "softmax":
            top = raw.max(axis=0)
            total = top + np.log(np.exp(raw - top).sum(axis=0))
        scores = raw if rule.background is None else np.delete(raw, rule.background, axis=0)
        best = scores.max(axis=0)
        if total is not None:
            best = np.exp(best - total)
        if rule.activation == "sigmoid":
            best = _sigmoid(best)
        if rule.layout == "objectness":
            present = numbers[_COORDINATES]
            best = best * (_sigmoid(present) if rule.activation == "sigmoid" else present)
    return best, scores


def _sigmoid(numbers: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 / (1 + np.exp(-numbers)))


def _suppress(found: Detections, limit: float) -> NDArray[np.int64]:
    """The places of the detections that remain (non-maximum suppression in each class)."""
    kept: list[int] = []
    left = np.arange(len(found))
    # One row of overlaps for each that remains is much less than all pairs.
    while len(left) and len(kept) < _DETECTIONS:
        best, others = left[0], left[1:]
        kept.append(int(best))
        over = overlap(found.boxes[best, None], found.boxes[others])[0] > limit
        left = others[~(over & (found.classes[others] == found.classes[best]))]
    return np.array(kept, np.int64)
