"""Quality figures and their intervals on held-out rows."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, spearmanr
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.neighbors import NearestNeighbors

from export.proof.quality import measure

Floats = NDArray[np.float32]


def scores(classes: Any, count: int = 3, margin: float = 4.0) -> Floats:
    """Scores whose top class is the one given."""
    top: Floats = (margin * np.eye(count, dtype=np.float32)[np.asarray(classes)]).astype(np.float32)
    return top


def lossy(rows: int, lost: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Labels, a baseline that is wrong in 10 rows, and a variant that loses some more."""
    labels = np.arange(rows) % 3
    baseline = np.where(np.arange(rows) < 10, (labels + 1) % 3, labels)
    gone = np.arange(rows) >= rows - lost
    return labels, scores(baseline), scores(np.where(gone, (labels + 1) % 3, baseline))


def test_figures_are_those_of_scikit_learn() -> None:
    """Accuracy, macro F1 and loss equal scikit-learn's."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 200)
    before, after = (random.normal(size=(200, 4)).astype(np.float32) for _ in range(2))
    quality = measure("classification", before, after, labels, seed=0)
    assert quality.accuracy
    assert quality.macro_f1
    assert quality.loss
    top = after.argmax(1)
    assert quality.accuracy.value == pytest.approx(accuracy_score(labels, top))
    assert quality.macro_f1.value == pytest.approx(f1_score(labels, top, average="macro"))
    probabilities = np.exp(after.astype(float)) / np.exp(after.astype(float)).sum(1, keepdims=True)
    assert quality.loss.value == pytest.approx(log_loss(labels, probabilities))
    assert quality.accuracy.change == pytest.approx(
        accuracy_score(labels, top) - accuracy_score(labels, before.argmax(1))
    )


def test_the_worst_class_and_each_class_are_counted() -> None:
    """The worst class is the one with the lowest score, and each class has its counts."""
    labels = np.array([0, 0, 1, 1])
    quality = measure("classification", scores(labels), scores([0, 0, 1, 2]), labels, seed=0)
    assert quality.worst_class
    assert (quality.worst_class.value, quality.worst_class.change) == (0.5, -0.5)
    assert quality.worst_label == 1
    assert [(item.baseline, item.variant, item.count) for item in quality.confusions] == [
        (0, 0, 2),
        (1, 1, 1),
        (1, 2, 1),
    ]
    assert [(item.label, item.rows, item.baseline_f1) for item in quality.classes] == [(0, 2, 1), (1, 2, 1)]
    assert quality.classes[1].f1 == pytest.approx(2 / 3)


def test_disagreements_name_row_label_and_both_answers() -> None:
    """A disagreement has its row, its label and both answers."""
    quality = measure("classification", scores([0, 1, 2]), scores([0, 2, 2]), np.array([0, 1, 2]), seed=0)
    [differs] = quality.disagreements
    assert (differs.row, differs.label, differs.baseline, differs.variant) == (1, 1, 1, 2)


def test_probabilities_are_taken_as_they_are() -> None:
    """If the answers are probabilities, the loss uses their logarithms."""
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], np.float32)
    quality = measure("classification", shares, shares.copy(), np.array([0, 1]), seed=0)
    assert quality.loss
    assert quality.loss.value == pytest.approx(-np.log([0.7, 0.8]).mean())


def test_divergence_is_that_of_the_definition() -> None:
    """The divergence is KL(baseline || variant) in nats."""
    before = np.log(np.array([[0.5, 0.5]], np.float32))
    after = np.log(np.array([[0.75, 0.25]], np.float32))
    quality = measure("classification", before, after, None, seed=0)
    assert quality.kl
    expected = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    assert quality.kl.value == pytest.approx(expected, rel=1e-6)


def test_without_labels_there_is_nothing_that_needs_them() -> None:
    """Without labels, agreement is measured, and accuracy and classes are absent."""
    quality = measure("classification", scores([0, 1]), scores([0, 2]), None, seed=0)
    assert quality.agreement
    assert quality.agreement.value == 0.5
    assert quality.accuracy is None
    assert quality.classes == ()
    assert quality.disagreements[0].label is None


def test_the_baseline_is_the_same_thing_and_no_estimate() -> None:
    """The baseline compared with itself has changes of 0 and an agreement of 1, without an interval."""
    labels, baseline, _ = lossy(100, 0)
    quality = measure("classification", baseline, baseline, labels, seed=0)
    assert quality.accuracy
    assert quality.agreement
    assert (quality.accuracy.change, quality.accuracy.low, quality.accuracy.high) == (0, 0, 0)
    assert (quality.agreement.value, quality.agreement.low, quality.agreement.high) == (1, 1, 1)


def test_equal_answers_of_another_variant_stay_an_estimate() -> None:
    """With no row of 450 lost, the interval of the change still reaches to -3/452 (rule of three)."""
    labels, baseline, variant = lossy(450, 0)
    quality = measure("classification", baseline, variant, labels, seed=0)
    assert quality.accuracy
    assert quality.accuracy.change == 0
    assert quality.accuracy.low == pytest.approx(-3 / 452, abs=1e-9)


def test_a_change_is_inside_its_interval_as_often_as_promised() -> None:
    """The interval of a change covers the true loss of 0.5, 1 or 2 % of 450 rows with a probability of at
    least 93 %.

    The interval depends only on the number of lost rows, so its coverage is the probability of those
    numbers whose interval contains the truth."""
    intervals = []
    for lost in range(21):
        labels, baseline, variant = lossy(450, lost)
        intervals.append(measure("classification", baseline, variant, labels, seed=0).accuracy)
    for share in (0.005, 0.01, 0.02):
        holds = [lost for lost, item in enumerate(intervals) if item and item.low <= -share <= item.high]
        assert binom.pmf(holds, 450, share).sum() >= 0.93


def test_tokens_count_only_where_a_label_does() -> None:
    """Tokens with the label -100, and those with NaN, are not counted."""
    labels = np.array([[-100, 1, 2, -100], [-100, 0, -100, -100]])
    before = scores([[0, 1, 2], [0, 0, 0]])
    before[1, 2] = np.nan
    after = before.copy()
    after[0, 0], after[0, 2] = scores([2, 1])
    quality = measure("token_classification", before, after, labels, seed=0)
    assert quality.accuracy
    assert quality.agreement
    assert quality.accuracy.value == pytest.approx(2 / 3)
    assert quality.agreement.value == pytest.approx(2 / 3)
    assert quality.disagreements[0].row == 0


def test_embeddings_are_compared_by_direction_and_by_order() -> None:
    """The cosine is the mean over rows; the rank correlation is Spearman's of the pairs' similarities."""
    random = np.random.default_rng(0)
    before = random.normal(size=(40, 8)).astype(np.float32)
    after = (2 * before + 0.3 * random.normal(size=before.shape)).astype(np.float32)
    quality = measure("embedding", before, after, None, seed=0)
    assert quality.cosine
    assert quality.rank_correlation
    units = [item / np.linalg.norm(item, axis=1, keepdims=True) for item in (before, after)]
    pairs = np.triu_indices(40, 1)
    assert quality.cosine.value == pytest.approx(float((units[0] * units[1]).sum(1).mean()))
    expected = spearmanr(*((unit @ unit.T)[pairs] for unit in units)).statistic
    assert quality.rank_correlation.value == pytest.approx(expected)
    assert quality.rank_correlation.low < expected < quality.rank_correlation.high
    assert quality.agreement is None


def test_of_three_rows_nothing_is_certain() -> None:
    """The rank correlation of three rows has a lower bound below its value."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(3, 8)).astype(np.float32)
    quality = measure("embedding", rows, rows * np.float32(1.001), None, seed=0)
    assert quality.rank_correlation
    assert quality.rank_correlation.low < quality.rank_correlation.value == pytest.approx(1)


def test_the_neighbours_are_those_of_scikit_learn() -> None:
    """A common offset hides in the cosine that half of the rows have another nearest row."""
    random = np.random.default_rng(0)
    own = random.normal(size=(300, 8))
    baseline = (own + 2.5).astype(np.float32)
    variant = (baseline + 0.35 * random.normal(size=(300, 8))).astype(np.float32)
    nearest = [
        NearestNeighbors(n_neighbors=1, metric="cosine").fit(each).kneighbors()[1][:, 0]
        for each in (baseline, variant)
    ]
    quality = measure("embedding", baseline, variant, None, seed=0)
    assert quality.cosine
    assert quality.neighbours
    assert quality.cosine.low > 0.98
    assert quality.neighbours.value == pytest.approx((nearest[0] == nearest[1]).mean())
    assert quality.neighbours.low < quality.neighbours.value < quality.neighbours.high < 0.7


def test_a_row_that_is_held_twice_is_as_near_as_its_copy() -> None:
    """Equal rows may change places; the baseline keeps all its neighbours."""
    rows = np.repeat(np.random.default_rng(0).normal(size=(20, 8)), 3, axis=0).astype(np.float32)
    for variant in (rows, rows * np.float32(1.1)):
        quality = measure("embedding", rows, variant, None, seed=0)
        assert quality.neighbours
        assert quality.neighbours.value == 1
