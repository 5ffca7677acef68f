"""Matches the detections of all rows with the labelled boxes, as COCO does."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.proof.bootstrap import Floats
from serve.bundles.meaning import Rule
from serve.tasks.detections import LEAST_SCORE, Detections, overlap, read_detections

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
# The overlaps at which the average precision is measured.
OVERLAPS = np.linspace(0.5, 0.95, 10)
# Detections with lower scores are left out of the average precision, to which they add little.
_LEAST_SCORE = 0.01


@dataclass(frozen=True, kw_only=True)
class BoxMatches:
    """The detections of one variant in all rows."""

    # [detections].
    row: Integers
    label: Integers
    scores: Floats
    # Whether it has a labelled box, at each overlap, [detections, overlaps].
    right: Bools
    # The labelled boxes of each row that a detection of the rule's score finds at the smallest overlap,
    # [rows].
    found: Integers


def match_boxes(rule: Rule, labels: Floats, answers: NDArray[np.generic]) -> BoxMatches:
    """Match the answers, [rows, ...], with the labels, [rows, boxes, 5], whose class is NaN where there is no
    box.

    In each row, the detections of a class get the labelled boxes in the order of their scores: each the box
    that it overlaps most and that has no detection yet."""
    limit = LEAST_SCORE if rule.least_score is None else rule.least_score
    least = min(_LEAST_SCORE, limit)
    rows, found = [], np.zeros(len(labels), np.int64)
    for row, detections in enumerate(read_detections(rule, answers, least)):
        boxes = labels[row][~np.isnan(labels[row, :, -1])]
        right = _match_row(detections, boxes)
        found[row] = (right[:, 0] & (detections.scores >= limit)).sum()
        rows.append((np.full(len(detections), row), detections.classes, detections.scores, right))
    row_numbers, classes, scores, matched = (np.concatenate(part) for part in zip(*rows, strict=True))
    return BoxMatches(row=row_numbers, label=classes, scores=scores, right=matched, found=found)


def _match_row(detections: Detections, boxes: Floats) -> Bools:
    right = np.zeros((len(detections), len(OVERLAPS)), np.bool_)
    if not (len(detections) and len(boxes)):
        return right
    overlaps = overlap(detections.boxes, boxes[:, :4])
    overlaps[detections.classes[:, None] != boxes[:, 4]] = -1
    taken = np.zeros((len(OVERLAPS), len(boxes)), np.bool_)
    each = np.arange(len(OVERLAPS))
    for number, mine in enumerate(overlaps):
        free = np.where(taken, -1, mine)
        best = free.argmax(axis=1)
        right[number] = free[each, best] >= OVERLAPS
        taken[each, best] |= right[number]
    return right
