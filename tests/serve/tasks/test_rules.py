"""A rule that the recipe names decides alone when two answers differ."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from serve.bundles.figures import Quality
from serve.bundles.meaning import Meaning, Rule
from serve.tasks.answer_form import measure_rule
from serve.tasks.compare_outputs import compare
from serve.tasks.criterion import explain_likeness
from serve.tasks.describe_answer import describe
from tests.conftest import make_figures

RANDOM = np.random.default_rng(0)


def differ(rule: dict[str, Any], baseline: Any, candidate: Any) -> Any:
    """Which rows of a tensor differ by this rule."""
    one, other = (np.asarray(each, np.float32) for each in (baseline, candidate))
    return compare("tensors", one, other, Meaning(**rule)).differ.tolist()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"abs": 0.2}, [False, True, False]),
        ({"rel": 0.05}, [True, False, False]),
        ({"abs": 0.2, "rel": 0.05}, [False, False, False]),
        ({"abs": 0}, [True, True, False]),
    ],
    ids=str,
)
def test_numbers_differ_beyond_the_tolerance(rule: dict[str, float], expected: list[bool]) -> None:
    """`abs` plus `rel` times the size of the baseline's number, in every place."""
    assert (
        differ({"kind": "numbers", **rule}, [[1, 9], [1, 9], [3, 3]], [[1.1, 9], [1, 9.3], [3, 3]])
        == expected
    )


def test_a_tolerance_is_the_whole_rule() -> None:
    """A chance may leave 0..1, and numbers may sum to one, within the tolerance."""
    rule = {"kind": "numbers", "form": "chances", "abs": 0.5}
    assert differ(rule, [[0.9, 0.9], [0.5, 0.4]], [[1.3, 0.9], [0.5, 0.5]]) == [False, False]


@pytest.mark.parametrize("rule", [{"abs": 1.0}, {"rel": 1.0}, {}], ids=str)
def test_infinity_and_nan_are_close_only_to_themselves(rule: dict[str, float]) -> None:
    """An answer that the baseline lacks is not compared."""
    inf, nan = np.inf, np.nan
    baseline, candidate = [[inf], [inf], [5], [5], [nan]], [[inf], [5], [inf], [nan], [5]]
    assert differ({"kind": "numbers", **rule}, baseline, candidate) == [False, True, True, True, True]
    assert differ({"kind": "numbers", **rule}, [[nan, 5]], [[7, 5]]) == [False]


def test_exact_floats_are_equal_or_differ() -> None:
    """To the last bit; what the baseline lacks is not compared."""
    assert differ({"kind": "exact"}, [1, 1, np.nan], [1, np.nextafter(1, 2, dtype=np.float32), 1]) == [
        False,
        True,
        False,
    ]


def test_integers_may_be_compared_as_numbers() -> None:
    """By the tolerance, instead of exactly."""
    one, other = np.array([[7], [7]]), np.array([[8], [9]])
    assert compare("tensors", one, other, Meaning(kind="numbers", abs=1)).differ.tolist() == [False, True]
    assert compare("tensors", one, other).differ.tolist() == [True, True]


def test_classes_may_stand_in_any_dimension() -> None:
    """A map of scores with its classes first has one pair for each place of the map."""
    scores = RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32)
    other = scores.copy()
    other[0, :, 1, 2] = -other[0, :, 1, 2]
    found = compare("tensors", scores, other, Meaning(kind="classes", form="plain", axis=1))
    assert found.pairs.tolist() == [20, 20]
    assert found.differing.tolist() == [1, 0]
    moved = compare(
        "tensors",
        np.moveaxis(scores, 1, -1),
        np.moveaxis(other, 1, -1),
        Meaning(kind="classes", form="plain"),
    )
    assert np.array_equal(found.differ, moved.differ)
    assert found.row_kl == pytest.approx(moved.row_kl)


def test_the_top_class_of_a_map_is_told() -> None:
    """By its dimension of classes."""
    scores = np.zeros((3, 1, 2), np.float32)
    scores[2, 0, 0] = scores[1, 0, 1] = 50
    assert describe(Meaning(kind="classes", axis=1), scores, 1.0) == "2 (1.00), 1 (1.00)"
    differ = np.array([False, True])
    shown = describe(Meaning(kind="classes", axis=1), scores, 1.0, places=differ)
    assert shown == "at 0, 1: 1 (1.00)"


@pytest.mark.parametrize(
    ("baseline", "candidate", "expected"),
    [
        ([[0.6, 0.4], [0.6, 0.4]], [[0.9, 0.1], [0.6, 0.6]], [False, True]),
        ([0.6, 0.4, 0.5], [0.4, 0.3, 0.5], [True, False, False]),
        ([[0.6], [0.4], [np.nan]], [[np.nan], [0.5], [0.5]], [True, False, True]),
        ([[np.nan, 0.9]], [[0.9, 0.9]], [False]),
    ],
    ids=["sets", "one label", "no answer", "a label without an answer"],
)
def test_sets_of_labels_differ_by_any_label(baseline: Any, candidate: Any, expected: list[bool]) -> None:
    """A label holds if its score is above the threshold."""
    assert differ({"kind": "labels", "form": "chances", "threshold": 0.5}, baseline, candidate) == expected


def test_chances_that_became_shares_differ() -> None:
    """The labels are the same, but a client reads the numbers as independent."""
    chances, shares = np.array([[0.9, 0.3]]), np.array([[0.8, 0.2]])
    rule = {"kind": "labels", "form": "chances", "threshold": 0.5}
    assert differ(rule, chances, shares) == [True]


@pytest.mark.parametrize(
    ("rule", "answers", "threshold"),
    [
        ({}, RANDOM.random((20, 3)), 0.5),
        ({}, RANDOM.normal(size=(20, 3)), 0.0),
        ({"threshold": 0.3}, RANDOM.random((20, 3)), 0.3),
    ],
    ids=["chances", "logits", "set"],
)
def test_the_threshold_is_that_of_the_scores(rule: dict[str, Any], answers: Any, threshold: float) -> None:
    """A half of chances, 0 of logits, unless the recipe sets it."""
    assert measure_rule(Rule(kind="labels", **rule), answers).threshold == threshold


def test_the_labels_of_a_row_are_told() -> None:
    """By name where they have one; a binary score by its side."""
    meaning = Meaning(kind="labels", form="chances", threshold=0.5)
    scores = np.array([0.9, 0.1, 0.7], np.float32)
    assert describe(meaning, scores, None) == "0 (0.90), 2 (0.70)"
    assert describe(meaning, scores, None, ("cat", "dog", "cow")) == "cat (0.90), cow (0.70)"
    assert describe(meaning, scores * 0, None) == "no label"
    assert describe(meaning, scores[:1], None) == "1 (0.9)"


@pytest.mark.parametrize(
    ("rule", "answers", "form"),
    [
        ({"kind": "classes", "axis": 1}, np.full((12, 4, 5), 0.25), "shares"),
        ({"kind": "classes"}, RANDOM.random((12, 4)), "chances"),
        ({"kind": "numbers", "abs": 1}, RANDOM.normal(size=(12, 4)), "plain"),
        ({"kind": "vectors"}, np.eye(12), "unit"),
        ({"kind": "exact"}, np.eye(12), "unknown"),
    ],
    ids=str,
)
def test_the_answers_show_the_form_of_a_rule(rule: dict[str, Any], answers: Any, form: str) -> None:
    """The kind and its parameters stay; only numbers have a spread."""
    meaning = measure_rule(Rule(**rule), answers)
    assert meaning.form == form
    assert meaning.model_dump(include=set(rule)) == rule
    assert bool(meaning.spread) == (rule["kind"] == "numbers")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"kind": "classes", "abs": 1}, "`abs` belongs to the kind numbers, and this kind is classes"),
        ({"kind": "numbers", "axis": 1}, "`axis` belongs to the kind classes"),
        ({"kind": "classes", "axis": 0}, "`axis: 0` is the batch"),
        ({"kind": "numbers", "abs": -1}, "greater than or equal to 0"),
        ({"kind": "number"}, "'numbers', 'boxes', 'ranks', 'exact' or 'state'"),
        ({"kind": "numbers", "abss": 1}, "did you mean 'abs'"),
    ],
    ids=str,
)
def test_a_senseless_rule_is_refused(rule: dict[str, Any], message: str) -> None:
    """With the parameter and what it belongs to."""
    with pytest.raises(ValidationError, match=message):
        Rule(**rule)


def test_a_meaning_of_an_older_bundle_still_reads() -> None:
    """It has no parameters of a rule."""
    older = {"kind": "numbers", "form": "plain", "spread": [1.0], "centre": []}
    assert Meaning.model_validate(older) == Meaning(kind="numbers", form="plain", spread=(1.0,))


def test_the_notes_say_the_tolerance() -> None:
    """What counts as agreement stands below the table."""
    quality = make_figures(1).quality.model_dump(mode="json")
    meaning = {"kind": "numbers", "form": "plain", "abs": 0.5, "rel": 0.1}
    same = {"value": 1, "low": 1, "high": 1}
    quality |= {"agreement": same, "outputs": [{"name": "y", "meaning": meaning, "agreement": same}]}
    notes = explain_likeness(Quality.model_validate(json.loads(json.dumps(quality))))
    assert any("within 0.5 plus 10% of the baseline's" in note for note in notes)


def test_numbers_are_told_with_six_digits() -> None:
    """A person compares them by eye; of many, the first are told."""
    meaning = Meaning(kind="numbers", abs=1)
    assert describe(meaning, np.array(84.08575439453125, np.float32), None) == "84.0858"
    assert describe(meaning, np.arange(6, dtype=np.float32) / 3, None) == "[0, 0.333333, 0.666667, 1, ...]"
