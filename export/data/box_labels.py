"""Reads labels that are boxes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData

# x1, y1, x2, y2 and the class.
NUMBERS = 5


def read_boxes(place: str, raw: Any, rows: int) -> NDArray[np.float64]:
    """Read the boxes of each row, [rows, boxes, 5] of x1, y1, x2, y2 and class, as one array or as an array
    [boxes, 5] for each row. Returns NaN in place of boxes that a row does not have. Raises InvalidData."""
    items = [np.asarray(item) for item in raw] if np.iterable(raw) else []
    if len(items) != rows:
        raise InvalidData(f"{place} has {rows} rows and {len(items)} labels; label every row or none")
    labels = np.full((rows, max((len(item) for item in items if item.ndim), default=0), NUMBERS), np.nan)
    for row, item in enumerate(items):
        if item.size == 0:
            continue
        if item.dtype.kind not in "fiu" or item.ndim != 2 or item.shape[1] != NUMBERS:
            raise InvalidData(
                f"{place}: the label of row {row} is {item.dtype} of shape {list(item.shape)}; expected "
                "[boxes, 5]: x1, y1, x2, y2 and the class of each box"
            )
        there = ~np.isnan(item[:, -1].astype(np.float64)) & (item[:, -1] != -1)
        labels[row, : there.sum()] = item[there]
    _refuse_wrong(place, labels)
    return labels


def _refuse_wrong(place: str, labels: NDArray[np.float64]) -> None:
    there = ~np.isnan(labels[..., -1])
    if not there.any():
        raise InvalidData(f"{place}: no row has a box; give None for no labels")
    box, label = labels[..., :4], labels[..., 4]
    faults = {
        "has a class that is no whole number from 0; a class of -1 or NaN is no box": there
        & ~((label >= 0) & (label == np.floor(label))),
        "has a coordinate that is no number": there & ~np.isfinite(box).all(axis=-1),
        "ends before it starts; give x1, y1, x2, y2 (two corners)": there
        & (box[..., 2:] < box[..., :2]).any(axis=-1),
    }
    for words, wrong in faults.items():
        if wrong.any():
            row, number = np.argwhere(wrong)[0]
            raise InvalidData(f"{place}: the box {labels[row, number].tolist()} of row {row} {words}")
