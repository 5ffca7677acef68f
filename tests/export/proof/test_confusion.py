"""Confusions count which class a variant gives for each class of the baseline."""

from pathlib import Path
from typing import Any

import numpy as np

from export.proof.confusion import Confusions, arrange_confusions, count_confusions
from serve.bundles.bundle import Bundle
from tests.conftest import make_bundle, make_figures

MANY = np.arange(30)


def bundle(folder: Path, variant: str, baseline: Any, answers: Any) -> Bundle:
    """Write the bundle of a variant with these classes, where the baseline has those."""
    figures = make_figures(1)
    confusions = count_confusions(np.asarray(baseline), np.asarray(answers))
    quality = figures.quality.model_copy(update={"confusions": confusions})
    return make_bundle(folder, variant, figures=figures.model_copy(update={"quality": quality}))


def test_of_few_classes_every_pair_is_counted(tmp_path: Path) -> None:
    """With few classes each pair is counted, by name if there is one, in rows and columns."""
    light = bundle(tmp_path, "light", [0, 0, 0, 2], [0, 0, 4, 2])
    assert arrange_confusions({"light": light}, ["cat", "dog", "eel"]) == {
        "light": Confusions(
            columns=("cat", "eel", "4"), rows=(("cat", (2, 0, 1)), ("eel", (0, 1, 0)), ("4", (0, 0, 0)))
        )
    }


def test_of_many_classes_the_most_frequent_pairs_are_kept(tmp_path: Path) -> None:
    """With many classes the 20 most frequent differing pairs are kept."""
    baseline = np.concatenate([MANY, MANY, [5, 5]])
    answers = np.concatenate([MANY, (MANY + 1) % 30, [9, 9]])
    light = bundle(tmp_path, "light", baseline, answers)
    assert len(light.figures.quality.confusions) == 20
    pairs = arrange_confusions({"light": light})["light"].pairs
    assert pairs[:2] == (("5", "9", 2), ("0", "1", 1))
    assert arrange_confusions({"light": light})["light"].columns == ()


def test_who_never_differs_has_none(tmp_path: Path) -> None:
    """A variant that never differs from the baseline has no confusions."""
    assert arrange_confusions({"base": bundle(tmp_path, "base", MANY[:9], MANY[:9])}) == {}
