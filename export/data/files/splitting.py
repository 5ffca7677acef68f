"""Divides the rows of one file among the splits."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData

Rows = NDArray[np.int64]
_FEWEST_ROWS = 2


def split_rows(
    place: str, hashes: Sequence[str], classes: Rows | None, shares: Mapping[str, float], seed: int
) -> dict[str, Rows]:
    """Return the rows of each split, in random order. The `shares` sum to 1; a split with the share 0 is left
    out.

    Equal rows stay together. Each split has the classes in the proportions of the file, as far as whole rows
    allow. Raises InvalidData, which names `place`, if a split would have fewer than two different rows."""
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(digest, len(numbers)) for digest in hashes], np.int64)
    _, firsts, sizes = np.unique(groups, return_index=True, return_counts=True)
    order = _shuffle(None if classes is None else classes[firsts], len(firsts), seed)
    # The split of a group is the one in whose stretch of rows its middle lies.
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    edges = np.cumsum(list(shares.values()))[:-1] * len(hashes)
    part_of, rank_of = np.empty((2, len(order)), np.int64)
    part_of[order] = np.searchsorted(edges, middles)
    rank_of[order] = np.arange(len(order))
    rows = np.argsort(rank_of[groups], kind="stable")
    found = {}
    for part, (name, share) in enumerate(shares.items()):
        if share > 0:
            _refuse_few(
                place, int((part_of == part).sum()), len(order), f"{name} with its share of {share:g}"
            )
            found[name] = rows[part_of[groups[rows]] == part]
    return found


def _refuse_few(place: str, rows: int, of: int, split: str) -> None:
    if rows < _FEWEST_ROWS:
        raise InvalidData(
            f"{place} has {of} different rows, which leaves {rows} for the split {split}; every split needs "
            f"at least {_FEWEST_ROWS}: give more rows, or a larger share"
        )


def _shuffle(classes: Rows | None, count: int, seed: int) -> Rows:
    """Return a random order; with classes, every stretch of it has them in proportion."""
    random = np.random.default_rng(seed)
    order = random.permutation(count)
    return order if classes is None else order[_interleave(classes[order], random)]


def _interleave(classes: Rows, random: np.random.Generator) -> Rows:
    # The rows of a class are spread evenly over 0 to 1, from a random start, and then sorted.
    _, numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
    by_class = np.argsort(numbers, kind="stable")
    within = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = random.random(len(counts))
    places = np.empty(len(classes))
    places[by_class] = (within + starts[numbers[by_class]]) / counts[numbers[by_class]]
    return np.argsort(places, kind="stable")
