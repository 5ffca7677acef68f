"""Figures of labels are counted as scikit-learn counts them, and their intervals hold what they promise."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from export.data.datasets import read_data
from export.errors import ExportFailed, InvalidData
from export.proof.by_label.label_fit import explain_undefined, require_flags_fit
from export.proof.by_label.label_sets import compare_label_sets
from export.proof.by_label.score_order import rank
from export.proof.floor import judge, require_defined
from export.proof.quality import measure
from export.quality_limits import Floor
from serve.base.tensor import TensorSpec
from serve.bundles.meaning import Task

RANDOM = np.random.default_rng(0)


def sample(*shape: int, noise: float = 1.0) -> tuple[Any, Any, Any]:
    """Labels of which a third hold, and the scores of two variants, of which the second is worse."""
    labels = (RANDOM.random(shape) < 1 / 3).astype(np.int64)
    before, after = (labels - 0.5 + size * RANDOM.normal(size=shape) for size in (noise / 2, noise))
    return labels, before, after


def test_a_binary_model_has_the_figures_of_scikit_learn() -> None:
    """Of both variants, so that the change is right too."""
    labels, before, after = sample(200)
    found = compare_label_sets(labels, before, after, 0.0, seed=0)
    for name, values in {
        "accuracy": [accuracy_score(labels, each > 0) for each in (before, after)],
        "f1": [f1_score(labels, each > 0) for each in (before, after)],
        "auc": [roc_auc_score(labels, each) for each in (before, after)],
    }.items():
        figure = found[name]
        assert figure
        assert (figure.value, figure.change) == pytest.approx((values[1], values[1] - values[0]))
        assert figure.low < figure.change < figure.high < 0.05


def test_sets_of_labels_have_the_figures_of_scikit_learn() -> None:
    """Of four labels, of which one is rare."""
    labels, before, after = sample(300, 4)
    labels[:, 3] = np.arange(300) % 30 == 0
    found = compare_label_sets(labels, before, after, 0.1, seed=0)
    for name, average in (("micro_f1", "micro"), ("macro_f1", "macro")):
        figure = found[name]
        assert figure
        expected = [f1_score(labels, each > 0.1, average=average) for each in (before, after)]
        assert (figure.value, figure.change) == pytest.approx((expected[1], expected[1] - expected[0]))
    assert found["auc"]
    assert found["auc"].value == pytest.approx(roc_auc_score(labels, after, average="macro"))


def test_a_label_that_does_not_count_is_left_out() -> None:
    """-100 is as if the row had no such label."""
    labels, before, after = sample(100, 2)
    labels[50:, 0] = -100
    found = compare_label_sets(labels, before, after, 0.0, seed=0)
    assert found["auc"]
    halves = [roc_auc_score(labels[:50, 0], after[:50, 0]), roc_auc_score(labels[:, 1], after[:, 1])]
    assert found["auc"].value == pytest.approx(np.mean(halves))
    hits = [(labels == 1) & (after > 0), (after > 0) & (labels != -100), labels == 1]
    right, said, true = (each.sum() for each in hits)
    assert found["micro_f1"]
    assert found["micro_f1"].value == pytest.approx(2 * right / (said + true))


def test_the_area_counts_weighted_rows_as_often() -> None:
    """A weight of two is the row twice, equal scores count half."""
    scores, true = RANDOM.integers(0, 5, 40).astype(float), RANDOM.random(40) < 0.5
    weights = RANDOM.integers(0, 3, (6, 40))
    expected = [roc_auc_score(np.repeat(true, each), np.repeat(scores, each)) for each in weights]
    assert rank(scores, true).auc(weights.astype(float)) == pytest.approx(expected)


def test_equal_answers_stay_an_estimate() -> None:
    """No row of 300 changed, but up to about 3 in 300 may."""
    labels, before, _ = sample(300)
    found = compare_label_sets(labels, before, before.copy(), 0.0, seed=0)
    assert found["accuracy"]
    assert found["accuracy"].low == pytest.approx(-3 / 302, abs=1e-9)
    assert all(figure and figure.change == 0 and figure.low < 0 for figure in found.values())


@pytest.mark.parametrize("name", ["f1", "auc"])
def test_a_change_is_inside_its_interval_as_often_as_promised(name: str) -> None:
    """Of 150 samples of 200 rows whose truth is that of 200,000: at least 90 %."""
    random, held = np.random.default_rng(1), 0

    def draw(rows: int) -> tuple[Any, Any, Any]:
        labels = (random.random(rows) < 0.3).astype(np.int64)
        before = labels + random.normal(size=rows)
        return labels, before, before + random.normal(size=rows) / 2

    labels, *answers = draw(200_000)
    metrics: dict[str, Any] = {"f1": lambda true, each: f1_score(true, each > 0.5), "auc": roc_auc_score}
    truth = metrics[name](labels, answers[1]) - metrics[name](labels, answers[0])
    for _ in range(150):
        figure = compare_label_sets(*draw(200), 0.5, seed=0)[name]
        held += bool(figure and figure.low <= truth <= figure.high)
    assert held >= 135


def test_an_answer_that_is_no_number_is_wrong() -> None:
    """Whatever the label; the floor rejects the variant."""
    labels, before, _ = sample(60)
    after = np.full(60, np.nan)
    quality = measure("binary", before, after, labels, seed=0)
    assert quality.accuracy
    assert (quality.accuracy.value, quality.auc and quality.auc.value) == (0, 0)
    assert "auc 0.0000 is" in str(judge(Floor(auc_drop=0.1), quality))


@pytest.mark.parametrize(
    ("task", "labels", "missing"),
    [
        ("binary", np.zeros(9, int), {"f1", "auc"}),
        ("binary", np.ones(9, int), {"auc"}),
        ("multilabel", np.zeros((9, 2), int), {"micro_f1", "macro_f1", "auc"}),
        ("multilabel", np.eye(9, 2, dtype=int), set()),
    ],
    ids=["none", "all", "no labels", "some"],
)
def test_labels_of_one_kind_have_no_such_figure(task: Task, labels: Any, missing: set[str]) -> None:
    """The figure is absent with a reason, and a floor on it is refused."""
    assert set(explain_undefined(task, labels)) == missing
    answers = RANDOM.normal(size=labels.shape)
    quality = measure(task, answers, answers.copy(), labels, seed=0)
    assert all(getattr(quality, name) is None for name in missing)
    assert set(quality.undefined) == missing
    if "auc" in missing:
        with pytest.raises(InvalidData, match="the floor limits auc_drop, but no label holds for some"):
            require_defined(Floor(auc_drop=0.1), task, labels)
    else:
        require_defined(Floor(auc_drop=0.1), task, labels)


def labelled(task: Task, labels: Any) -> Any:
    """Splits of five rows with these labels."""
    splits = {
        name: ({"x": np.random.default_rng(seed).normal(size=(5, 2))}, labels)
        for seed, name in enumerate(("calibration", "search", "held_out"))
    }
    return read_data(splits, "make", task=task)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("binary", [0, 1, 2, 0, 1], "label 2 in row 2; expected 1 where"),
        ("binary", [0, 1, -100, 0, 1], "label -100 in row 2"),
        ("binary", np.zeros((5, 2)), r"shape \[5, 2\]; expected 1 or 0 in an array \[5\]"),
        ("multilabel", [0, 1, 1, 0, 1], r"expected 1 or 0 in an array \[5, 'labels'\]"),
        ("multilabel", np.full((5, 2), -100), "all labels are -100"),
    ],
)
def test_labels_that_are_no_flags_are_refused(task: Task, labels: Any, message: str) -> None:
    """With the row and what a label may be."""
    with pytest.raises(InvalidData, match=rf"split calibration.*{message}"):
        labelled(task, labels)


def test_labels_of_a_file_may_be_lists() -> None:
    """One list for each row; lists of different lengths are refused."""
    rows = [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]]
    data = labelled("multilabel", np.fromiter(rows, object, len(rows)))
    assert data.held_out.labels.tolist() == rows
    with pytest.raises(InvalidData, match="rows have different sizes"):
        labelled("multilabel", np.fromiter([*rows[:4], [1]], object, len(rows)))
    with pytest.raises(InvalidData, match="rows have different sizes"):
        labelled("multilabel", [*rows[:4], [1]])


def test_labels_may_be_bools_and_have_a_dimension_of_their_own() -> None:
    """[rows, 1] of a binary model is [rows]."""
    data = labelled("binary", np.array([[True], [False], [True], [True], [False]]))
    assert data.held_out.labels.tolist() == [1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("task", "shape", "error"),
    [
        ("binary", ("batch", 2), ExportFailed),
        ("multilabel", ("batch", 3), InvalidData),
        ("multilabel", ("batch", 2), None),
        ("binary", ("batch", 1), None),
    ],
    ids=str,
)
def test_an_output_has_a_score_for_each_label(task: Task, shape: Any, error: Any) -> None:
    """Two scores per row are no binary answer."""
    labels = np.eye(5, 2) if task == "multilabel" else np.arange(5) % 2
    first = TensorSpec(name="y", datatype="FP32", shape=shape)
    if error is None:
        require_flags_fit(task, first, labelled(task, labels))
    else:
        with pytest.raises(error, match="the first output y has"):
            require_flags_fit(task, first, labelled(task, labels))
