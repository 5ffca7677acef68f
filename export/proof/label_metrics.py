"""Computes the metrics that need labels (accuracy, F1 and loss) and their change from the baseline to the
variant."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array, vstack

from export.proof.bootstrap import Floats, Interval, mean_intervals, resample
from serve.bundles.figures import ClassChange, Compared

Classes = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Items:
    """All items (rows or tokens) with an answer, each [items]; both variants answered the same items."""

    # Whether a row is a map of items, of which each class has a part; otherwise a row may be of one class.
    maps: bool = False
    # The number of held-out rows, and the row of each item.
    rows: int
    row: NDArray[np.int64]
    # The top class.
    baseline: Classes
    variant: Classes

    def per_row(self, values: Floats) -> Floats:
        """Sum the values over each row's items, [rows]."""
        return np.bincount(self.row, values, self.rows).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The metrics that need labels; all but the last two with their change from the baseline."""

    accuracy: Compared
    macro_f1: Compared
    miou: Compared
    # None if the scores are not a distribution.
    loss: Compared | None
    worst_class: Compared
    # The class with the worst accuracy of the variant.
    worst_label: int
    classes: tuple[ClassChange, ...]


@dataclass(frozen=True, kw_only=True)
class _Unseen:
    """Rows that were not observed, one for each class that has labels."""

    # How many items each holds: as many as any row, or of maps those of the class in a row that has it.
    sizes: Floats
    # What the variant that is wrong answers.
    wrong: Classes


def compare_by_labels(
    items: Items, labels: Classes, losses: tuple[Floats, Floats] | None, seed: int
) -> Labelled:
    """Compare the variant with the baseline.

    A class without held-out labels counts as a wrong answer where it is predicted, and has no F1 of its own.

    Args:
        items: the items and both variants' top classes
        labels: true class of each item, [items]
        losses: cross-entropy in nats of the baseline and of the variant, each [items]; None if there is none
        seed: seed of the bootstrap

    Returns:
        The metrics of the variant, with their change from the baseline and its interval.
    """
    known, [labels, baseline, variant] = _renumber(labels, items.baseline, items.variant)
    items = replace(items, baseline=baseline, variant=variant)
    # Unseen answers of maps are of no class that has labels.
    table = _tabulate(items, labels, len(known) + items.maps)
    present = np.unique(labels)
    _, after, change = (figure[0] for figure in _figures(np.asarray(table.sum(axis=0))[None]))
    unseen = _find_unseen(items, labels, present, len(known))
    overall = _intervals(table, present, unseen, 1 / len(present), seed)
    # The worst class is a single class, so each class gets its own unseen rows.
    single = _intervals(table, present, unseen, 1.0, seed)
    return Labelled(
        accuracy=_compared(after[0], change[0], overall[0]),
        macro_f1=_compared(after[1], change[1], overall[1]),
        miou=_compared(after[3], change[3], overall[3]),
        worst_class=_compared(after[2], change[2], single[2]),
        worst_label=_find_worst(items.variant, labels, known),
        loss=None if losses is None else _compare_losses(items, *losses, seed),
        classes=_class_changes(table, known, present),
    )


def _compare_losses(items: Items, before: Floats, after: Floats, seed: int) -> Compared:
    counts = items.per_row(np.ones(len(before)))
    [paired] = mean_intervals(items.per_row(after - before)[:, None], counts, seed)
    lost = float(after.mean())
    return _compared(lost, lost - float(before.mean()), paired)


def _renumber(*classes: Classes) -> tuple[Classes, list[Classes]]:
    """Replace the classes that occur by consecutive numbers."""
    known, numbers = np.unique(np.concatenate(classes), return_inverse=True)
    return known, np.split(numbers, len(classes))


def _tabulate(items: Items, labels: Classes, classes: int) -> csr_array:
    """Count per row and class, [rows, 5 * classes]: items that the baseline gets right, that the variant gets
    right, that the baseline predicts, that the variant predicts, and that have the label."""
    right, also = labels == items.baseline, labels == items.variant
    places = [
        (items.row[right], labels[right]),
        (items.row[also], classes + labels[also]),
        (items.row, 2 * classes + items.baseline),
        (items.row, 3 * classes + items.variant),
        (items.row, 4 * classes + labels),
    ]
    row, column = (np.concatenate(part) for part in zip(*places, strict=True))
    return csr_array(coo_array((np.ones(len(row)), (row, column)), shape=(items.rows, 5 * classes)))


def _find_unseen(items: Items, labels: Classes, present: Classes, classes: int) -> _Unseen:
    if not items.maps:
        size = np.full(len(present), len(labels) / items.rows)
        return _Unseen(sizes=size, wrong=(present + 1) % classes)
    rows = np.bincount(np.unique(items.row * classes + labels) % classes, minlength=classes)
    sizes = np.bincount(labels, minlength=classes) / np.maximum(rows, 1)
    return _Unseen(sizes=sizes[present], wrong=np.full(len(present), classes))


def _intervals(
    table: csr_array, present: Classes, unseen: _Unseen, weight: float, seed: int
) -> list[Interval]:
    """Return the intervals of the changes of accuracy, macro-F1, the worst class and mIoU.

    For each class, two additional rows are drawn with this weight: one that only the baseline gets right, and
    one that only the variant gets right."""
    classes = table.shape[1] // 5
    each = np.arange(len(present))
    wrong = unseen.wrong
    added = [
        diags_array(unseen.sizes)
        @ _tabulate(Items(rows=len(each), row=each, baseline=one, variant=other), present, classes)
        for one, other in ((present, wrong), (wrong, present))
    ]
    both = vstack([table, *added], format="csr")
    return resample(both, lambda sums: _figures(sums)[2], seed, unseen=2 * len(each), weight=weight)


def _figures(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Return accuracy, macro-F1, the worst class's accuracy and mIoU, [draws, 4], of the baseline, of the
    variant, and their difference, from sums of the table, [draws, 5 * classes]."""
    *right, said, also_said, labelled = np.split(sums, 5, axis=1)
    absent = labelled == 0
    figures = []
    for hits, claims in zip(right, (said, also_said), strict=True):
        f1 = np.ma.array(2 * hits, mask=absent) / np.where(absent, 1, claims + labelled)
        recall = np.ma.array(hits, mask=absent) / np.where(absent, 1, labelled)
        iou = np.ma.array(hits, mask=absent) / np.where(absent, 1, claims + labelled - hits)
        accuracy = hits.sum(axis=1) / labelled.sum(axis=1)
        means = (f1.mean(axis=1).data, recall.min(axis=1).data, iou.mean(axis=1).data)
        figures.append(np.column_stack([accuracy, *means]))
    return figures[0], figures[1], figures[1] - figures[0]


def _find_worst(answers: Classes, labels: Classes, known: Classes) -> int:
    labelled = np.bincount(labels, minlength=len(known))
    right = np.bincount(labels[answers == labels], minlength=len(known))
    return int(known[np.where(labelled > 0, right / np.maximum(labelled, 1), np.inf).argmin()])


def _class_changes(table: csr_array, known: Classes, present: Classes) -> tuple[ClassChange, ...]:
    right, also, said, also_said, labelled = np.split(np.asarray(table.sum(axis=0)), 5)
    return tuple(
        ClassChange(
            label=int(known[number]),
            rows=int(labelled[number]),
            baseline_f1=float(2 * right[number] / (said[number] + labelled[number])),
            f1=float(2 * also[number] / (also_said[number] + labelled[number])),
        )
        for number in present
    )


def _compared(value: float, change: float, interval: Interval) -> Compared:
    # The two additional rows shrink an interval towards 0, which may move its end past the figure itself.
    low, high = min(interval[0], change), max(interval[1], change)
    return Compared(value=float(value), change=float(change), low=float(low), high=float(high))
