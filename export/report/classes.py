"""Lists each class's F1 for the baseline and its variants, in the order of the largest loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from export.data.labels import name_class
from serve.bundles.bundle import Bundle

_MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True)
class EachClass:
    """A head with the baseline and its variants, and a row per class: name, number of held-out rows (or
    tokens), and an F1 per column."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[str, ...]], ...]
    # The number of further classes.
    left_out: int


def list_classes(bundles: Mapping[str, Bundle], classes: Sequence[str] = ()) -> EachClass | None:
    """List the first 20 classes, with the names in `classes`; None if there are no labels or no variants."""
    per_class = {
        name: {item.label: item for item in bundle.figures.quality.classes}
        for name, bundle in bundles.items()
        if bundle.figures.quality.classes and name != bundle.baseline
    }
    if not per_class:
        return None
    labels = sorted({label for changes in per_class.values() for label in changes})
    changes = {
        label: min(each[label].f1 - each[label].baseline_f1 for each in per_class.values() if label in each)
        for label in labels
    }
    rows = []
    for label in sorted(labels, key=lambda label: (changes[label], label))[:_MOST_CLASSES]:
        each = [variant.get(label) for variant in per_class.values()]
        known = next(item for item in each if item is not None)
        cells = (f"{known.baseline_f1:.4f}", *("-" if item is None else f"{item.f1:.4f}" for item in each))
        rows.append((name_class(label, classes), known.rows, cells))
    baseline = next(iter(bundles.values())).baseline
    return EachClass(
        head=(baseline, *per_class), rows=tuple(rows), left_out=max(0, len(labels) - _MOST_CLASSES)
    )
