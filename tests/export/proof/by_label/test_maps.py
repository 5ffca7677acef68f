"""Maps of classes are read, fit their output, and are counted pixel by pixel."""

from typing import Any

import numpy as np
import pytest

from export.data.datasets import read_data
from export.errors import ExportFailed, InvalidData
from export.proof.by_label.label_fit import require_maps_fit
from export.proof.constant_answers import repeat_typical
from export.proof.quality import measure
from serve.base.tensor import TensorSpec
from serve.bundles.meaning import Meaning, Rule

RANDOM = np.random.default_rng(0)
FIRST = Rule(kind="classes", axis=1)


def labelled(labels: Any) -> Any:
    """Splits of five rows with these labels."""
    splits = {
        name: ({"x": np.random.default_rng(seed).normal(size=(5, 2))}, labels)
        for seed, name in enumerate(("calibration", "search", "held_out"))
    }
    return read_data(splits, "make", task="segmentation")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(5, int), r"shape \[5\]; expected whole numbers"),
        (np.zeros((5, 4)), "labels are float64"),
        (np.full((5, 4), -1), "label -1 in row 0; labels start at 0"),
        (np.full((5, 4), 255, np.uint8), "all labels are -100"),
    ],
    ids=["one per row", "floats", "negative", "nothing"],
)
def test_labels_that_are_no_maps_are_refused(labels: Any, message: str) -> None:
    """With the split and what a label may be."""
    with pytest.raises(InvalidData, match=rf"split calibration.*{message}"):
        labelled(labels)


def test_bytes_of_255_do_not_count() -> None:
    """They mark the border of objects in masks; in other integers 255 is a class."""
    labels = np.array([[1, 255]] * 5)
    assert labelled(labels.astype(np.uint8)).held_out.labels[0].tolist() == [1, -100]
    assert labelled(labels).held_out.labels[0].tolist() == [1, 255]


@pytest.mark.parametrize(
    ("rule", "shape", "error", "message"),
    [
        (FIRST, ("batch", 3, 4), None, ""),
        (FIRST, ("batch", 3, "width"), None, ""),
        (Rule(kind="classes"), ("batch", 4, 3), None, ""),
        (Rule(kind="classes"), ("batch", 3, 4), InvalidData, r"shape \['rows', 4\].*in dimension 2"),
        (FIRST, ("batch", 3, 4, 4), InvalidData, "one label for each place"),
        (FIRST, ("batch", 3), ExportFailed, "axis: 1"),
        (FIRST, ("batch", 2, 4), InvalidData, "2 classes: labels are 0 to 1"),
    ],
    ids=str,
)
def test_a_map_has_a_label_for_each_place(rule: Rule, shape: Any, error: Any, message: str) -> None:
    """Without the dimension of the classes, which the rule names."""
    first, data = TensorSpec(name="y", datatype="FP32", shape=shape), labelled(np.full((5, 4), 2))
    if error is None:
        require_maps_fit(rule, first, data)
    else:
        with pytest.raises(error, match=message):
            require_maps_fit(rule, first, data)


def one_hot(classes: Any, axis: int = 1) -> Any:
    """Scores of three classes of which the given one is highest."""
    return np.moveaxis(4 * np.eye(3)[classes], -1, axis)


@pytest.mark.parametrize("axis", [1, -1])
def test_figures_are_those_of_the_definitions(axis: int) -> None:
    """Of two rows of three pixels, of which one does not count; the classes may stand anywhere."""
    labels = np.array([[0, 0, 1], [2, 1, -100]])
    before, after = one_hot([[0, 0, 1], [2, 1, 0]], axis), one_hot([[0, 1, 1], [2, 1, 2]], axis)
    meaning = Meaning(kind="classes", form="plain", axis=axis)
    quality = measure("segmentation", before, after, labels, seed=0, meaning=meaning)
    assert quality.miou
    assert quality.accuracy
    assert quality.worst_class
    assert quality.agreement
    assert quality.accuracy.value == quality.agreement.value == pytest.approx(4 / 5)
    assert quality.miou.value == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert (quality.worst_class.value, quality.worst_label) == (0.5, 0)
    assert quality.disagreements[0].row == 0
    assert (quality.disagreements[0].label, quality.disagreements[0].variant) == (0, 1)


def test_a_rare_class_is_not_taken_for_a_whole_row() -> None:
    """A class of one pixel in 100, which the variant keeps in all of 300 rows: its accuracy may be worse by
    its pixels in up to about 3 rows, but not by as many pixels as three rows have."""
    labels = np.zeros((300, 100), np.int64)
    labels[:, 0] = 1
    scores = 4 * np.eye(2)[labels]
    quality = measure("segmentation", scores, scores.copy(), labels, seed=0)
    assert quality.worst_class
    assert quality.miou
    assert -0.03 < quality.worst_class.low < 0
    assert -0.03 < quality.miou.low < 0


def test_a_constant_map_has_the_shape_of_the_output() -> None:
    """The scores of one typical pixel, in the dimension of the classes."""
    scores = one_hot(np.where(RANDOM.random((20, 4, 5)) < 0.9, 0, 2))
    constant = repeat_typical(Meaning(kind="classes", form="plain", axis=1), scores)
    assert constant.shape == scores.shape
    assert (constant.argmax(axis=1) == 0).all()
