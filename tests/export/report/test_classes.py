"""Each class has its figures, by its name."""

from pathlib import Path

from export.report.classes import list_classes
from serve.bundles.bundle import Bundle
from serve.bundles.figures import ClassChange
from tests.conftest import make_bundle, make_figures


def bundle(folder: Path, variant: str, *f1: float) -> Bundle:
    """Return the bundle of a variant whose classes have these F1, where the baseline's is 0.9."""
    figures = make_figures(1)
    changes = tuple(
        ClassChange(label=label, rows=10 + label, baseline_f1=0.9, f1=value) for label, value in enumerate(f1)
    )
    quality = figures.quality.model_copy(update={"classes": changes})
    return make_bundle(folder, variant, figures=figures.model_copy(update={"quality": quality}))


def test_those_that_lost_most_come_first(tmp_path: Path) -> None:
    """Classes are sorted by the largest loss of F1, with the baseline's F1 first."""
    bundles = {
        "base": bundle(tmp_path, "base", 0.9, 0.9),
        "light": bundle(tmp_path, "light", 0.8, 0.95),
        "slim": bundle(tmp_path, "slim", 0.9, 0.5),
    }
    found = list_classes(bundles, ["cat"])
    assert found is not None
    assert found.head == ("base", "light", "slim")
    assert found.rows == (
        ("1", 11, ("0.9000", "0.9500", "0.5000")),
        ("cat", 10, ("0.9000", "0.8000", "0.9000")),
    )


def test_of_many_classes_twenty_are_listed(tmp_path: Path) -> None:
    """Twenty classes are listed, with the number of the others."""
    found = list_classes({"light": bundle(tmp_path, "light", *[0.9] * 25)})
    assert found is not None
    assert (len(found.rows), found.left_out) == (20, 5)


def test_without_labels_there_are_none(tmp_path: Path) -> None:
    """Without labels, or for a baseline alone, there is no list."""
    assert list_classes({"light": bundle(tmp_path, "light")}) is None
    assert list_classes({"base": bundle(tmp_path, "base", 0.9)}) is None
