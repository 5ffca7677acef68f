"""Counts how often a variant predicts which class when its baseline predicts another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from export.data.labels import name_class
from export.proof.label_metrics import Classes
from serve.bundles.bundle import Bundle
from serve.bundles.figures import Confusion

# With more classes than this, only this number of differing pairs is kept.
_MOST_CLASSES = 20
_MOST_PAIRS = 20


@dataclass(frozen=True, kw_only=True)
class Confusions:
    """How often baseline and variant predict which classes: a full table, or only the differing pairs."""

    # The variant's classes, with the counts for each class of the baseline; empty if there are too many
    # classes.
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[int, ...]], ...] = ()
    # Pairs of baseline class, variant class and count, the most frequent first.
    pairs: tuple[tuple[str, str, int], ...] = ()


def count_confusions(baseline: Classes, variant: Classes) -> tuple[Confusion, ...]:
    """Count pairs of predicted classes, both [items]; with more than 20 classes, only the 20 most frequent
    differing pairs."""
    width = 1 + int(max(baseline.max(initial=0), variant.max(initial=0)))
    keys, counts = np.unique(baseline * width + variant, return_counts=True)
    pairs = np.column_stack(np.divmod(keys, width))
    found = [
        Confusion(baseline=int(one), variant=int(other), count=int(count))
        for (one, other), count in zip(pairs, counts, strict=True)
    ]
    if len(np.unique(pairs)) <= _MOST_CLASSES:
        return tuple(found)
    return tuple(_differing(found)[:_MOST_PAIRS])


def arrange_confusions(bundles: Mapping[str, Bundle], classes: Sequence[str] = ()) -> dict[str, Confusions]:
    """Return the confusions of each variant that differs from the baseline, with the names in `classes`."""
    found = {}
    for name, bundle in bundles.items():
        counted = bundle.figures.quality.confusions
        differing = _differing(counted)
        if not differing:
            continue
        if len(differing) == len(counted):
            pairs = [
                (name_class(item.baseline, classes), name_class(item.variant, classes), item.count)
                for item in differing
            ]
            found[name] = Confusions(pairs=tuple(pairs))
        else:
            found[name] = _tabulate(counted, classes)
    return found


def _tabulate(counted: Sequence[Confusion], classes: Sequence[str]) -> Confusions:
    counts = {(item.baseline, item.variant): item.count for item in counted}
    labels = sorted({label for pair in counts for label in pair})
    return Confusions(
        columns=tuple(name_class(label, classes) for label in labels),
        rows=tuple(
            (name_class(label, classes), tuple(counts.get((label, other), 0) for other in labels))
            for label in labels
        ),
    )


def _differing(found: Sequence[Confusion]) -> list[Confusion]:
    differing = [item for item in found if item.baseline != item.variant]
    return sorted(differing, key=lambda item: (-item.count, item.baseline, item.variant))
