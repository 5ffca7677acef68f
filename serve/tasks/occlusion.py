"""Cut the inputs of a row into features, and make copies of the row that lack one of them each. Pure.

A feature is what a person would point at: a column of a vector, a patch of an image, a few columns of a few
steps of a sequence, a token of a text. At most 64 features of a row are told apart, so that an explanation
costs at most 65 rows; more columns, pixels, steps or tokens are taken in groups of neighbours. Dimensions of
up to 4, such as colours, are not cut, unless a row has no others. The attention mask is no feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.tensor import Arrays

MOST_FEATURES = 64
# Dimensions up to this size hold channels.
_CHANNELS = 4

# Input -> the places of one feature in a row.
Feature = Mapping[str, tuple[slice, ...]]


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """What replaces the features of a model's rows."""

    # Input -> its values in a row without any feature, in the shape of a row; for an input of `tokens`, the
    # values of one token. Other inputs keep their values.
    fills: Arrays
    # The inputs that have one value, or one vector, for each token of a text.
    tokens: frozenset[str] = frozenset()

    def mask(self, row: Arrays) -> dict[str, NDArray[np.generic]]:
        """Return the row, [1, ...], as it is and then once without each of its features, [1 + features,
        ...]."""
        features = self._cut(row)
        copies = {name: np.repeat(array, 1 + len(features), axis=0) for name, array in row.items()}
        for number, feature in enumerate(features, start=1):
            for name, places in feature.items():
                fill = self.fills[name]
                copies[name][number][places] = fill if name in self.tokens else fill[places]
        return copies

    def _cut(self, row: Arrays) -> list[Feature]:
        """The features of a row. The tokens of a text are the same for all inputs that have them."""
        groups = [[name] for name in row if name in self.fills and name not in self.tokens]
        if texts := [name for name in row if name in self.tokens]:
            groups.insert(0, texts)
        shapes = [row[names[0]].shape[1 : 2 if names[0] in self.tokens else None] for names in groups]
        return [
            dict.fromkeys(names, places)
            for names, shape, counts in zip(groups, shapes, count_parts(shapes), strict=True)
            for places in product(*map(_split, shape, counts))
        ]


def count_parts(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return into how many parts each dimension of each input is cut: at most 64 features, or one for each
    input.

    Args:
        shapes: the shape of a row of each input
    """
    counts = [list(shape) for shape in shapes]
    for dims in counts:
        if max(dims, default=0) > _CHANNELS:
            dims[:] = [1 if size <= _CHANNELS else size for size in dims]
    while sum(map(prod, counts)) > MOST_FEATURES and (largest := max(counts, key=prod, default=[])):
        if prod(largest) == 1:
            break
        largest[largest.index(max(largest))] -= 1
    return [tuple(dims) for dims in counts]


def find_middle(array: NDArray[Any]) -> NDArray[Any]:
    """The mean of each place over the rows, or NaN if all are missing; of what has no mean, the median, which
    is a value that occurs."""
    if array.dtype.kind != "f":
        return np.asarray(np.sort(array, axis=0)[len(array) // 2])
    missing = np.isnan(array)
    known = np.maximum((~missing).sum(axis=0), 1)
    mean = np.where(missing, 0, array).sum(axis=0, dtype=np.float64) / known
    return np.where(missing.all(axis=0), np.nan, mean).astype(array.dtype)


def _split(size: int, parts: int) -> list[slice]:
    """The dimension in `parts` of nearly equal size."""
    edges = [round(size * part / parts) for part in range(parts + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]
