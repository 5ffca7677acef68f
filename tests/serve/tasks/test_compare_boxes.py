"""Two answers of a detector differ if their detections do not match one to one."""

from typing import Any

import numpy as np
import pytest

from serve.bundles.meaning import Meaning
from serve.tasks.compare_outputs import compare
from serve.tasks.describe_answer import describe

FINAL = Meaning(kind="boxes", layout="final", box="xyxy", activation="none")
# A box of 10 by 10 with a score and a class.
BOX = [0, 0, 10, 10, 0.9, 1]
FAR = [50, 50, 60, 60, 0.5, 0]
NONE = [0, 0, 0, 0, 0, 0]
NAN = [np.nan] * 6


def differ(baseline: Any, candidate: Any, meaning: Meaning = FINAL) -> bool:
    """Whether the answers to one row differ."""
    one, other = (np.asarray([each], np.float32) for each in (baseline, candidate))
    return bool(compare("detection", one, other, meaning).differ[0])


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        ([FAR, BOX], False),
        ([[2, 0, 12, 10, 0.3, 1], FAR], False),
        ([[4, 0, 14, 10, 0.9, 1], FAR], True),
        ([[0, 0, 10, 10, 0.9, 0], FAR], True),
        ([[0, 0, 10, 10, 0.2, 1], FAR], True),
        ([BOX, NONE], True),
        ([BOX, NAN], True),
        ([BOX, BOX], True),
        ([NAN, NAN], True),
    ],
    ids=["order", "moved", "far", "class", "faint", "lost", "missing", "twice", "nan"],
)
def test_detections_match_by_class_and_overlap(candidate: Any, expected: bool) -> None:
    """Each with one of its own, whatever their order and scores."""
    assert differ([BOX, FAR], candidate) is expected
    assert differ([BOX, FAR], [*candidate, NONE, NAN]) is expected


def test_answers_without_detections_are_the_same() -> None:
    """An answer of NaN alone is not."""
    assert not differ([NONE], [NONE, NONE])
    assert not differ([NAN], [NAN])
    assert differ([NONE], [NAN])


def test_the_overlap_and_the_score_are_the_rules() -> None:
    """A box that is moved by 4 of 10 overlaps by 6 / 14."""
    moved = [4, 0, 14, 10, 0.9, 1]
    assert not differ([BOX], [moved], FINAL.model_copy(update={"iou": 0.4}))
    assert not differ([BOX], [NONE], FINAL.model_copy(update={"least_score": 0.95}))


def test_a_detection_may_leave_its_nearest_partner_to_another_one() -> None:
    """The first of the baseline fits two of the candidate, and the second only one of them."""
    baseline = [[0, 0, 10, 10, 0.9, 1], [3, 0, 13, 10, 0.8, 1]]
    candidate = [[1, 0, 11, 10, 0.9, 1], [-3, 0, 7, 10, 0.8, 1]]
    assert not differ(baseline, candidate)
    assert differ(baseline, [candidate[0], [-4, 0, 6, 10, 0.8, 1]])


@pytest.mark.parametrize(
    "candidate", [np.zeros((1, 2, 7)), np.zeros((1, 12)), np.zeros((1, 2, 6), np.int64)], ids=str
)
def test_other_shapes_differ(candidate: Any) -> None:
    """Without an error, because the baseline has been answered."""
    found = compare("detection", np.zeros((1, 2, 6), np.float32), candidate, FINAL)
    assert found.differ.tolist() == [True]


def test_the_largest_difference_is_that_of_the_numbers() -> None:
    """Of answers of one shape."""
    one, other = (np.array([[box]], np.float32) for box in (BOX, [2, 0, 12, 10, 0.9, 1]))
    assert compare("detection", one, other, FINAL).largest.tolist() == [2]


def test_an_answer_is_described_by_its_detections() -> None:
    """With names, if the classes have them."""
    row = np.array([BOX, FAR, NONE], np.float32)
    assert describe(FINAL, row, None) == "1 (0.90) at [0, 0, 10, 10], 0 (0.50) at [50, 50, 60, 60]"
    assert describe(FINAL, row[:1], None, ["cat", "dog"]) == "dog (0.90) at [0, 0, 10, 10]"
    assert describe(FINAL, row[2:], None) == "no detection"
