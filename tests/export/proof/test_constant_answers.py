"""A floor that a variant with one constant answer would pass proves nothing."""

from typing import Any

import numpy as np
import pytest

from export.proof.constant_answers import find_unproven, repeat_typical
from export.proof.output_quality import read_meanings
from export.proof.own_metric import PairedMetric
from export.recipe import Recipe

RANDOM = np.random.default_rng(0)
ROWS = 200
# Random scores of three classes.
FREE = RANDOM.normal(size=(ROWS, 3)).astype(np.float32)
# The first class always has the largest score.
ONE_CLASS = (FREE + np.array([9, 0, 0])).astype(np.float32)
# All but two of the rows get the first class.
RARE = np.where(np.arange(ROWS)[:, None] < 2, FREE - [9, 0, 0], ONE_CLASS).astype(np.float32)
LABELS = np.zeros(ROWS, np.int64)


def unproven(
    floor: dict[str, float],
    labels: Any = LABELS,
    task: str = "classification",
    *,
    metric: str | None = None,
    **outputs: Any,
) -> Any:
    """The outputs of a recipe with that floor, and with this function of `rating_functions` as its metric, in
    which a constant passes."""
    function = metric and f"tests.export.proof.rating_functions:{metric}"
    recipe = Recipe.model_validate(
        {
            "model": "m",
            "task": task,
            "source": {"onnx": "m.onnx"},
            "data": {"factory": "a:b"},
            "outputs": list(outputs),
            "metric": function,
            "floor": floor,
            "variants": {"fp32": []},
        }
    )
    meanings = read_meanings(recipe.task, outputs, labelled=labels is not None)
    paired = None
    if recipe.metric is not None:
        paired = PairedMetric(recipe.metric, outputs, labels, next(iter(meanings.values())), 0)
    return find_unproven(recipe, meanings, outputs, labels, paired)


@pytest.mark.parametrize(
    ("scores", "metric", "expected"),
    [
        (ONE_CLASS, "share_of_first", {"scores"}),
        (FREE, "share_of_first", set()),
        (FREE, "of_varied_scores", set()),
    ],
    ids=["one class", "several classes", "no value for a constant"],
)
def test_a_metric_that_a_constant_passes_is_found(scores: Any, metric: str, expected: Any) -> None:
    """A limit of the recipe's own metric is proven only if it excludes constants or has no value for them."""
    assert unproven({"metric_drop": 0.1}, metric=metric, scores=scores) == expected


@pytest.mark.parametrize(
    ("scores", "floor", "expected"),
    [
        (ONE_CLASS, {"agreement": 0.95}, {"scores"}),
        (ONE_CLASS, {"accuracy_drop": 0.1}, {"scores"}),
        (ONE_CLASS, {"agreement": 0.95, "kl": 1e-5}, set()),
        (RARE, {"agreement": 0.95}, {"scores"}),
        (RARE, {"agreement": 0.99}, set()),
        (FREE, {"agreement": 0.95}, set()),
    ],
    ids=["one class", "accuracy", "divergence", "rare", "rare and strict", "free"],
)
def test_a_floor_that_a_constant_passes_is_found(scores: Any, floor: dict[str, float], expected: Any) -> None:
    """A floor that a constant variant would pass is found, except if one of its limits excludes that."""
    assert unproven(floor, scores=scores) == expected


def test_each_output_is_looked_at_by_itself() -> None:
    """Only the output that a constant would pass is found, a number with three outliers here."""
    spikes = np.where(np.arange(ROWS) < 3, 1000, RANDOM.normal(size=ROWS)).astype(np.float32)[:, None]
    found = unproven({"agreement": 0.9}, LABELS, scores=FREE, spikes=spikes, number=FREE[:, :1])
    assert found == {"spikes"}


def test_a_constant_embedding_does_not_pass_where_all_vectors_are_close() -> None:
    """If all vectors are close, their mean is subtracted, so a constant vector does not pass."""
    narrow = (RANDOM.normal(size=(ROWS, 8)) + 20).astype(np.float32)
    assert unproven({"cosine": 0.9}, None, "embedding", vectors=narrow) == set()
    assert unproven({"cosine": 0.9, "rank_correlation": 0.8}, None, "embedding", vectors=narrow) == set()


def test_of_a_few_rows_nothing_is_told() -> None:
    """With fewer than ten rows no output is found."""
    assert unproven({"agreement": 0.5}, LABELS[:9], scores=ONE_CLASS[:9]) == set()
    assert unproven({"agreement": 0.5}, LABELS[:10], scores=ONE_CLASS[:10]) == {"scores"}


def test_a_constant_is_an_answer_of_the_baseline() -> None:
    """The constant is the baseline's answer to a row of its most frequent class; missing tokens stay NaN."""
    scores = np.stack([RARE[:100], RARE[100:]], axis=1)
    scores[:50, 1] = np.nan
    [meaning] = read_meanings("token_classification", {"scores": scores}, labelled=True).values()
    constant = repeat_typical(meaning, scores)
    assert np.array_equal(np.isnan(constant), np.isnan(scores))
    [answer] = np.unique(constant[~np.isnan(constant)].reshape(-1, 3), axis=0)
    assert answer.argmax() == 0
    assert (answer == RARE).all(axis=1).any()


# One in twenty rows has the label, or a pixel of the second class.
FEW = (np.arange(ROWS) % 20 == 0).astype(np.int64)
MAPS = np.stack([FEW, *np.zeros((5, ROWS), np.int64)], axis=1)
PICTURE = np.tile(np.arange(6) % 2, (ROWS, 1))


def scored(labels: Any) -> Any:
    """Scores that are right, with noise."""
    return (labels * 4.0 - 2 + RANDOM.normal(size=labels.shape) / 4).astype(np.float32)


def one_hot(labels: Any) -> Any:
    """Scores of two classes, of which the right one is higher, with noise."""
    return (4 * np.eye(2)[labels] + RANDOM.normal(size=(*labels.shape, 2)) / 4).astype(np.float32)


@pytest.mark.parametrize(
    ("task", "labels", "scores", "floor", "passes"),
    [
        ("binary", FEW, scored(FEW), {"accuracy_drop": 0.15}, True),
        ("binary", FEW, scored(FEW), {"accuracy_drop": 0.15, "f1_drop": 0.1}, False),
        ("multilabel", MAPS, scored(MAPS), {"agreement": 0.9}, True),
        ("multilabel", MAPS, scored(MAPS), {"micro_f1_drop": 0.2}, False),
        ("segmentation", MAPS, one_hot(MAPS), {"accuracy_drop": 0.1}, True),
        ("segmentation", MAPS, one_hot(MAPS), {"miou_drop": 0.1}, False),
        ("segmentation", PICTURE, one_hot(PICTURE), {"miou_drop": 0.1}, True),
        ("regression", FREE[:, 0], FREE[:, :1] * 1.1, {"mae_rise": 0.5}, False),
        ("tensors", None, RARE, {"agreement": 0.1}, True),
    ],
)
def test_each_task_finds_a_constant_that_passes(
    task: str, labels: Any, scores: Any, floor: dict[str, float], passes: bool
) -> None:
    """A figure that counts the rare label tells the two apart; where all maps are alike, one map passes."""
    assert unproven(floor, labels, task, scores=scores) == ({"scores"} if passes else set())


# One in twenty rows has the flag.
FLAG = FEW[:, None]
NAMES = np.where(FEW == 1, "alarm", "calm").astype("S")
COLUMNS = (FREE * [1, 100, 100]).astype(np.float32)
UNKNOWN = np.where(np.arange(3) == 1, -100, FREE > 0).astype(np.int64)
CHANCES = (1 / (1 + np.exp(-FREE[:, 0]))).astype(np.float32)


@pytest.mark.parametrize(
    ("task", "labels", "outputs", "floor", "expected"),
    [
        ("tensors", None, {"flag": FLAG}, {"agreement": 0.9}, {"flag"}),
        ("classification", None, {"name": NAMES}, {"agreement": 0.9}, {"name"}),
        ("classification", None, {"name": NAMES}, {"agreement": 0.97}, set()),
        ("classification", None, {"scores": FREE, "flag": FLAG}, {"agreement": 0.9}, {"flag"}),
        ("regression", COLUMNS * 1.1, {"sizes": COLUMNS}, {"mae_rise": 0.5}, {"sizes"}),
        ("regression", COLUMNS * 1.1, {"sizes": COLUMNS}, {"agreement": 0.9}, set()),
        ("multilabel", UNKNOWN, {"scores": FREE}, {"micro_f1_drop": 0.1}, {"scores"}),
        ("multilabel", (FREE > 0).astype(np.int64), {"scores": FREE}, {"micro_f1_drop": 0.1}, set()),
        ("binary", (FREE[:, 0] > 0).astype(np.int64), {"score": FREE[:, 0]}, {"auc_drop": 0.1}, {"score"}),
        ("binary", (CHANCES > 0.5).astype(np.int64), {"score": CHANCES}, {"auc_drop": 0.1}, {"score"}),
        ("binary", (CHANCES > 0.5).astype(np.int64), {"score": CHANCES}, {"accuracy_drop": 0.1}, set()),
    ],
)
def test_answers_that_say_nothing_are_found(
    task: str, labels: Any, outputs: dict[str, Any], floor: dict[str, float], expected: set[str]
) -> None:
    """A floor is found that a constant passes in whole numbers, in strings, in one small column or in one
    without labels, or that scores pass which are all above the threshold."""
    assert unproven(floor, labels, task, **outputs) == expected


def boxes_of(rows: Any) -> Any:
    """A box of 10 by 10 at each of these places, with the score and the class; none for NaN."""
    places = np.asarray(rows, np.float64)[:, None, None]
    corners = np.concatenate([places, places, places + 10, places + 10], axis=-1)
    there = ~np.isnan(places)
    return np.concatenate([np.nan_to_num(corners), 0.9 * there, 0 * places], axis=-1).astype(np.float32)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (np.zeros(ROWS), {"y"}),
        (np.where(np.arange(ROWS) < 2, 5, np.nan), {"y"}),
        (np.arange(ROWS), set()),
    ],
    ids=["one box", "nearly empty", "everywhere"],
)
def test_a_detector_with_one_answer_passes_no_floor(places: Any, expected: set[str]) -> None:
    """Neither the most usual detections for all rows, nor none."""
    answers = np.nan_to_num(boxes_of(places))
    assert unproven({"agreement": 0.9}, None, "detection", y=answers) == expected


@pytest.mark.parametrize(("scale", "expected"), [(0.0, {"y"}), (1.0, set())])
def test_a_ranking_with_one_order_passes_no_floor(scale: float, expected: set[str]) -> None:
    """If all queries have one order."""
    scores = (np.array([3, 2, 1]) + scale * FREE + 0.01 * np.abs(FREE[:, :1])).astype(np.float32)
    assert unproven({"agreement": 0.9}, None, "ranking", y=scores) == expected
