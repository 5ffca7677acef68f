"""Compares the detections of two answers. Pure."""

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning
from serve.tasks.detections import IOU, Detections, overlap, read_detections

Array = NDArray[np.generic]
Bools = NDArray[np.bool_]
# The batch, the boxes, and the numbers of a box.
_DIMENSIONS = 3


def differ_in_boxes(meaning: Meaning, baseline: Array, candidate: Array) -> Bools:
    """Which rows of an output with boxes, [rows, ...], have other detections, [rows]: not each has a partner
    of its own with the same class that overlaps it enough. Answers may have different numbers of boxes."""
    if meaning.layout is None or not _has_same_numbers(meaning, baseline, candidate):
        return np.ones(len(baseline), np.bool_)
    iou = IOU if meaning.iou is None else meaning.iou
    pairs = zip(read_detections(meaning, baseline), read_detections(meaning, candidate), strict=True)
    same = [_match(before, after, iou) for before, after in pairs]
    return ~np.asarray(same, np.bool_) | _lose_numbers(baseline, candidate)


def _has_same_numbers(meaning: Meaning, baseline: Array, candidate: Array) -> bool:
    """Whether a box has as many numbers in both answers."""
    if baseline.dtype.kind != "f" or candidate.dtype.kind != "f" or baseline.ndim != candidate.ndim:
        return False
    return baseline.ndim == _DIMENSIONS and baseline.shape[meaning.axis] == candidate.shape[meaning.axis]


def _lose_numbers(baseline: Array, candidate: Array) -> Bools:
    """Which rows of the candidate have no number at all, and the baseline has some; missing boxes are NaN."""
    empty = [np.isnan(each.reshape(len(each), -1)).all(axis=1) for each in (baseline, candidate)]
    return np.asarray(empty[1] & ~empty[0])


def _match(before: Detections, after: Detections, iou: float) -> bool:
    if len(before) != len(after) or not np.array_equal(np.sort(before.classes), np.sort(after.classes)):
        return False
    fits = overlap(before.boxes, after.boxes) >= iou
    fits &= before.classes[:, None] == after.classes
    if not (fits.any(axis=0).all() and fits.any(axis=1).all()):
        return False
    # Each has one possible partner only, and these are different.
    if (fits.sum(axis=1) == 1).all():
        return True
    return _match_all(fits)


def _match_all(fits: Bools) -> bool:
    """Whether every row of `fits` gets a column of its own (Kuhn's algorithm)."""
    taken = np.full(fits.shape[1], -1)

    def place(row: int, tried: Bools) -> bool:
        for column in np.flatnonzero(fits[row] & ~tried):
            if tried[column]:
                continue
            tried[column] = True
            if taken[column] < 0 or place(int(taken[column]), tried):
                taken[column] = row
                return True
        return False

    return all(place(row, np.zeros(fits.shape[1], np.bool_)) for row in range(len(fits)))
