"""Data of the tiny network, beside each of its recipes: numpy alone makes it, and a process starts fast."""

import numpy as np
from numpy.typing import NDArray

Rows = tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]

_ROWS = {"held_out": 300, "search": 100, "calibration": 100, "train": 600}
_NOISE = 0.4


def make(first_label: int = 0) -> dict[str, Rows]:
    """The four splits: ten random pictures of the digits' shape, one for each class, under noise."""
    random = np.random.default_rng(0)
    pictures = random.random((10, 1, 8, 8))
    splits: dict[str, Rows] = {}
    for name, rows in _ROWS.items():
        labels = random.permutation(np.arange(rows) % 10)
        images = pictures[labels] + _NOISE * random.standard_normal((rows, 1, 8, 8))
        splits[name] = {"image": images.astype(np.float32)}, labels + first_label
    return splits


def make_without_train() -> dict[str, Rows]:
    """The same, with nothing to train on."""
    return {name: split for name, split in make().items() if name != "train"}
