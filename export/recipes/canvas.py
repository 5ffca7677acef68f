"""Puts scikit-learn's handwritten digits at random places of larger images, for recipes with several digits
in one image."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.recipes.digits import digits_data

SIDE = 20
# The side of a scan, and of the cell that holds it; there are four cells.
_SCAN, _CELL = 8, 10
# A pixel belongs to a digit if it is at least this bright.
_INK = 0.25


@dataclass(frozen=True, kw_only=True)
class Canvases:
    """Images with several digits, of which none covers another."""

    # [rows, 1, side, side], from 0 to 1.
    images: NDArray[np.float32]
    # The digits of each image, [rows, digits], and the upper left corner of each scan, [rows, digits, 2].
    digits: NDArray[np.int64]
    corners: NDArray[np.int64]

    def map_classes(self) -> NDArray[np.int64]:
        """Return the class of each pixel, [rows, side, side]: 0 is the background, 1 is the digit 0."""
        classes = np.zeros((len(self.images), SIDE, SIDE), np.int64)
        ink = self.images[:, 0] >= _INK
        for row, (digits, corners) in enumerate(zip(self.digits, self.corners, strict=True)):
            for digit, (top, left) in zip(digits, corners, strict=True):
                place = row, slice(top, top + _SCAN), slice(left, left + _SCAN)
                classes[place] = np.where(ink[place], digit + 1, 0)
        return classes


def make_canvases(rows: Mapping[str, int], digits: int, seed: int) -> dict[str, Canvases]:
    """Return this number of `rows` for each split, each with the given number of digits (at most 4).

    The scans of a split are those of the recipe `digits`, so no scan is in two splits."""
    random = np.random.default_rng(seed)
    return {
        name: _scatter(inputs["image"][:, 0], labels, (rows[name], digits), random)
        for name, (inputs, labels) in digits_data(seed).items()
    }


def _scatter(
    scans: NDArray[np.float32], labels: NDArray[np.int64], shape: tuple[int, int], random: np.random.Generator
) -> Canvases:
    rows, digits = shape
    chosen = random.integers(0, len(scans), shape)
    cells = np.argsort(random.random((rows, 4)), axis=1)[:, :digits]
    shifts = random.integers(0, _CELL - _SCAN + 1, (rows, digits, 2))
    corners = _CELL * np.stack(np.divmod(cells, 2), axis=-1) + shifts
    images = np.zeros((rows, 1, SIDE, SIDE), np.float32)
    for row in range(rows):
        for scan, (top, left) in zip(chosen[row], corners[row], strict=True):
            images[row, 0, top : top + _SCAN, left : left + _SCAN] = scans[scan]
    return Canvases(images=images, digits=labels[chosen], corners=corners)
