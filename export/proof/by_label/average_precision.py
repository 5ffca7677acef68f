"""Computes the mean average precision and the recall of detections, and their change from the baseline to the
variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, hstack, vstack

from export.proof.bootstrap import Floats, Interval, resample
from export.proof.by_label.box_matches import OVERLAPS, BoxMatches, match_boxes
from serve.bundles.figures import Compared
from serve.bundles.meaning import Rule

_NAMES = ("map", "map50", "recall")
# For the intervals, more detections are counted in this number of groups of neighbouring scores, so that the
# bootstrap stays cheap.
_MOST_GROUPS = 2000
# Columns of each group: the detections, and those that are right at each overlap.
_COLUMNS = 1 + len(OVERLAPS)


def compare_detections(
    rule: Rule, labels: Floats, baseline: NDArray[Any], variant: NDArray[Any], seed: int
) -> dict[str, Compared]:
    """Compare the variant's detections with the baseline's.

    The average precision of a class is the area under its interpolated curve of precision over recall (all
    points); mAP is the mean over the classes that have labelled boxes, and over the overlaps 0.5 to 0.95.
    Bootstrap draws include rows that were not seen: for each class, one whose boxes only the baseline finds,
    and one whose boxes only the variant does.

    Args:
        rule: the rule of the output, with all parameters
        labels: x1, y1, x2, y2 and class of each box, [rows, boxes, 5]; the class is NaN where there is none;
            one row has a box
        baseline: the baseline's answers, [rows, ...]
        variant: the variant's answers
        seed: seed of the bootstrap

    Returns:
        The figures of the variant by name, with their change and its interval.
    """
    classes = np.unique(labels[..., 4][~np.isnan(labels[..., 4])])
    boxes = (labels[..., 4, None] == classes).sum(axis=1).astype(np.float64)
    matches = [match_boxes(rule, labels, each) for each in (baseline, variant)]
    exact, coarse = (
        _Sides([_tabulate(each, classes, most) for each in matches], boxes)
        for most in (max(len(each.row) for each in matches), _MOST_GROUPS)
    )
    first, second = (side[0] for side in exact.figures(exact.table.sum(axis=0)[None]))
    unseen = coarse.unseen()
    intervals = resample(
        vstack([coarse.table, unseen], format="csr"),
        lambda sums: np.subtract(*coarse.figures(sums)[::-1]),
        seed,
        unseen=unseen.shape[0],
        # Two rows are expected in a draw.
        weight=2 / unseen.shape[0],
    )
    return {
        name: _compared(float(value), float(before), interval)
        for name, value, before, interval in zip(_NAMES, second, first, intervals, strict=True)
    }


@dataclass(frozen=True, kw_only=True)
class _Side:
    """The counts of one variant for each group of detections with neighbouring scores, the best first in each
    class, and the boxes that are found."""

    # [rows, columns * groups + 1].
    table: csr_array
    # The number of the class of each group, in ascending order.
    group_class: NDArray[np.int64]
    # The first group of each class. Only unseen rows have detections there.
    heads: NDArray[np.int64]

    def unseen(self, sizes: Floats) -> csr_array:
        """A row for each class whose boxes are all found, `sizes` of them."""
        groups, classes = len(self.group_class), np.arange(len(sizes))
        columns = [self.heads + column * groups for column in range(_COLUMNS)]
        columns.append(np.full(len(sizes), _COLUMNS * groups))
        places = (np.tile(classes, len(columns)), np.concatenate(columns))
        shape = (len(sizes), self.table.shape[1])
        return csr_array(coo_array((np.tile(sizes, len(columns)), places), shape=shape))


class _Sides:
    """The counts of both variants beside the labelled boxes of each class, `boxes`, [rows, classes]."""

    def __init__(self, sides: Sequence[_Side], boxes: Floats) -> None:
        self._sides = sides
        self._boxes = boxes
        self._ends = np.cumsum([side.table.shape[1] for side in self._sides])
        self.table = _join(*(side.table for side in sides), csr_array(boxes))

    def figures(self, sums: Floats) -> tuple[Floats, Floats]:
        """The figures of both variants, each [draws, 3], from sums of the table."""
        before, after, boxes = np.split(sums, self._ends, axis=1)
        return _figures(self._sides[0], before, boxes), _figures(self._sides[1], after, boxes)

    def unseen(self) -> csr_array:
        """Two rows for each class: its boxes are found by the baseline alone, and by the variant alone."""
        sizes = self._boxes.sum(axis=0) / (self._boxes > 0).sum(axis=0)
        rows = []
        for finder in range(len(self._sides)):
            parts = [side.unseen(sizes) for side in self._sides]
            parts[1 - finder] = csr_array(parts[1 - finder].shape)
            rows.append(_join(*parts, csr_array(np.diag(sizes))))
        return csr_array(vstack(rows, format="csr"))


def _join(*tables: csr_array) -> csr_array:
    return csr_array(hstack(tables, format="csr"))


def _tabulate(matches: BoxMatches, classes: Floats, most: int) -> _Side:
    """Count the detections, in about `most` groups if there are more."""
    # Classes without labelled boxes have no average precision.
    known = np.isin(matches.label, classes)
    number = np.searchsorted(classes, matches.label[known])
    order = np.lexsort((-matches.scores[known], number))
    row, right, number = matches.row[known][order], matches.right[known][order], number[order]
    size = max(1, -(-len(number) // max(1, most)))
    counts = np.bincount(number, minlength=len(classes))
    # With the empty group before each class.
    lengths = 1 - (-counts // size)
    heads = np.cumsum(lengths) - lengths
    group = heads[number] + 1 + (np.arange(len(number)) - (np.cumsum(counts) - counts)[number]) // size
    groups = int(lengths.sum())
    places = [(row, group)]
    places += [(row[hit], column * groups + group[hit]) for column, hit in enumerate(right.T, 1)]
    places.append((np.arange(len(matches.found)), np.full(len(matches.found), _COLUMNS * groups)))
    rows, columns = (np.concatenate(part) for part in zip(*places, strict=True))
    values = np.ones(len(rows))
    values[len(rows) - len(matches.found) :] = matches.found
    shape = (len(matches.found), _COLUMNS * groups + 1)
    return _Side(
        table=csr_array(coo_array((values, (rows, columns)), shape=shape)),
        group_class=np.repeat(np.arange(len(classes)), lengths),
        heads=heads,
    )


def _figures(side: _Side, sums: Floats, boxes: Floats) -> Floats:
    """Return mAP, mAP at 0.5 and recall, [draws, 3], from sums of the table and of the labelled boxes of each
    class, [draws, classes]."""
    counts = sums[:, :-1].reshape(len(sums), _COLUMNS, -1)
    totals = counts.cumsum(axis=-1)
    totals -= (totals - counts)[..., side.heads][..., side.group_class]
    # Each class is raised above the ones after it, so that a maximum does not pass from class to class.
    above = 2.0 * (side.group_class[-1] - side.group_class)
    precision = totals[:, 1:] / np.maximum(totals[:, :1], np.finfo(np.float64).tiny) + above
    best = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1] - above
    best *= counts[:, 1:]
    # A draw may have no box of a class.
    drawn = boxes[:, None] > 0
    area = np.add.reduceat(best, side.heads, axis=-1) / np.maximum(boxes[:, None], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(drawn, area, 0).sum(axis=-1) / drawn.sum(axis=-1)
        return np.column_stack([mean.mean(axis=1), mean[:, 0], sums[:, -1] / boxes.sum(axis=1)])


def _compared(value: float, before: float, interval: Interval) -> Compared:
    # The unseen rows may move an end of the interval past the change itself.
    change = value - before
    return Compared(value=value, change=change, low=min(interval[0], change), high=max(interval[1], change))
