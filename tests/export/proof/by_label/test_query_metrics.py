"""The figures of a ranking are scikit-learn's, and their intervals hold what they promise."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from export.data.datasets import read_data
from export.errors import ExportFailed, InvalidData
from export.proof.by_label.label_fit import require_relevance_fits
from export.proof.by_label.query_metrics import compare_rankings, measure_queries
from export.proof.output_quality import read_meanings
from export.proof.quality import measure
from serve.base.tensor import TensorSpec

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 4, (80, 12)).astype(np.float64)
LABELS[:, 0] = 1
# With ties.
SCORES = np.round(LABELS + RANDOM.normal(0, 2, LABELS.shape))


@pytest.mark.parametrize("top", [1, 5, 100])
def test_ndcg_is_that_of_scikit_learn(top: int) -> None:
    """With the mean gain for equal scores."""
    found = measure_queries(LABELS, SCORES, top)[:, 0].mean()
    assert found == pytest.approx(ndcg_score(LABELS, SCORES, k=top))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([3, 2, 1], 1 / 2), ([3, 4, 1], 1), ([3, 3, 3], 1 / 2), ([9, 1, 9], 0), ([9, np.nan, 1], 0)],
    ids=str,
)
def test_mrr_is_the_place_of_the_first_relevant_item(scores: list[float], expected: float) -> None:
    """Behind its equals, and 0 beyond the places that count."""
    labels = np.array([[0.0, 1, np.nan if scores == [3, 3, 3] else 0]])
    assert measure_queries(labels, np.array([scores]), 2)[0, 1] == expected


def test_items_and_queries_without_a_label_do_not_count() -> None:
    """NaN leaves out an item, and a query without a relevant item has no figure."""
    labels = np.array([[2, np.nan, 1], [0, 0, 0]], np.float64)
    found = compare_rankings(
        labels, np.array([[1.0, 9, 2], [1, 2, 3]]), np.array([[3.0, 9, 2], [1, 2, 3]]), 3, 0
    )
    assert found["mrr"]
    assert found["ndcg"]
    assert (found["mrr"].value, found["mrr"].change) == (1, 0)
    assert found["ndcg"].value == 1
    assert found["ndcg"].change == pytest.approx(1 - ndcg_score([[2, 1]], [[1, 2]]))


def test_rows_of_one_item_are_gathered_by_their_query() -> None:
    """In any order, with the same figures."""
    other = SCORES + RANDOM.normal(0, 1, SCORES.shape)
    expected = compare_rankings(LABELS, SCORES, other, 5, 0)
    order = RANDOM.permutation(LABELS.size)
    pairs = np.column_stack([LABELS.ravel(), np.repeat(np.arange(80) % 40 * 2 - np.arange(80) // 40, 12)])[
        order
    ]
    found = compare_rankings(pairs, SCORES.reshape(-1, 1)[order], other.ravel()[order, None], 5, 0)
    for name, figure in found.items():
        assert figure.value == pytest.approx(expected[name].value)
        assert figure.change == pytest.approx(expected[name].change)


def test_a_score_per_row_is_compared_as_a_number() -> None:
    """The labels say which rows are one query, and the figures are of queries."""
    pairs = np.column_stack([LABELS.ravel(), np.repeat(np.arange(80), 12)])
    before = SCORES.reshape(-1, 1).astype(np.float32)
    after = before + RANDOM.normal(0, 0.1, before.shape).astype(np.float32)
    meaning = read_meanings("ranking", {"y": before}, labelled=True)["y"]
    assert meaning.kind == "numbers"
    quality = measure("ranking", before, after, pairs, 0, meaning=meaning)
    assert quality.ndcg
    assert quality.mrr
    assert quality.agreement
    assert quality.ndcg.value == pytest.approx(ndcg_score(LABELS, after.reshape(LABELS.shape), k=10))
    assert quality.agreement.value > 0.95


def test_no_change_is_not_certain() -> None:
    """A query that only one variant ranks rightly may not have been seen."""
    change = compare_rankings(LABELS, SCORES, SCORES, 5, 0)["ndcg"]
    assert change.change == 0
    assert -6 / 80 < change.low < -1 / 80
    assert 1 / 80 < change.high < 6 / 80


@pytest.mark.parametrize(
    ("shape", "labels", "error"),
    [
        (("batch", 3), np.ones((4, 3)), None),
        (("batch", "items"), np.ones((4, 3)), None),
        (("batch", 1), {"relevance": np.ones(4), "groups": ["a", "a", "b", "b"]}, None),
        (("batch", 4), np.ones((4, 3)), InvalidData),
        (("batch",), np.ones((4, 3)), InvalidData),
        (("batch", 3, 2), np.ones((4, 3)), ExportFailed),
    ],
    ids=str,
)
def test_labels_fit_the_scores(shape: Any, labels: Any, error: Any) -> None:
    """A relevance for each score, or the relevance and the query of each row."""
    raw = {
        name: ({"x": np.arange(4, dtype=np.float32)[:, None] + 10 * number}, labels)
        for number, name in enumerate(("calibration", "search", "held_out"))
    }
    data = read_data(raw, "make", task="ranking")
    first = TensorSpec(name="y", datatype="FP32", shape=shape)
    if error is None:
        require_relevance_fits(first, data)
    else:
        with pytest.raises(error, match="the first output y has"):
            require_relevance_fits(first, data)
