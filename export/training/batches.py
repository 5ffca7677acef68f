"""Divides rows into batches of nearly equal size, with rows of similar length."""

import numpy as np
import torch
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.several_sizes import split_by_shape

Rows = NDArray[np.int64]

# Rows are sorted by length within a window of this many batches: large enough that padding is rare, small
# enough that the order stays random.
_WINDOW_BATCHES = 50
_ANSWER_ROWS = 64


def random_batches(split: Split, batch_size: int) -> list[Rows]:
    """All rows once, in an order drawn from torch's generator, in batches of about `batch_size` rows; the
    number of batches is always the same. Where rows have lengths, those of a batch are of similar length;
    where they have several shapes, of one shape."""
    order = torch.randperm(len(split)).numpy()
    batches: list[Rows] = []
    if split.lengths is None:
        if not split.sizes:
            return np.array_split(order, _count(len(order), batch_size))
        for group in split_by_shape(split.shapes, order):
            batches += np.array_split(group, _count(len(group), batch_size))
        return [batches[number] for number in torch.randperm(len(batches))]
    for window in np.array_split(order, -(-len(order) // (batch_size * _WINDOW_BATCHES))):
        by_length = window[np.argsort(split.lengths[window], kind="stable")]
        batches += np.array_split(by_length, _count(len(window), batch_size))
    return [batches[number] for number in torch.randperm(len(batches))]


def ordered_batches(split: Split) -> list[Rows]:
    """All rows once, the shortest first, for answers that do not depend on the order; rows of one shape
    together."""
    return similar_batches(split, _ANSWER_ROWS)


def similar_batches(split: Split, most: int) -> list[Rows]:
    """All rows once, the shortest first, at most `most` at a time, and only of one shape."""
    order = np.arange(len(split), dtype=np.int64)
    if split.lengths is not None:
        order = np.argsort(split.lengths, kind="stable")
    groups = split_by_shape(split.shapes, order) if split.sizes else [order]
    return [batch for group in groups for batch in np.array_split(group, -(-len(group) // most))]


def _count(rows: int, batch_size: int) -> int:
    # A batch of one row would stop batch normalization.
    return max(1, min(-(-rows // batch_size), rows // 2))
