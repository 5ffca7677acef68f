"""The detections of an answer are read from every layout of a detector's outputs."""

from typing import Any

import numpy as np
import pytest

from serve.bundles.meaning import Meaning
from serve.tasks.detections import Detections, overlap, read_detections, sum_scores, to_corners
from serve.tasks.join_outputs import join_outputs

# Two boxes of 10 by 10 that overlap by a third, one far from both, and their corners.
CORNERS = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [50, 50, 60, 60]], np.float32)
CENTRES = np.array([[5, 5, 10, 10], [10, 5, 10, 10], [55, 55, 10, 10]], np.float32)
SCORES = np.array([[0.9, 0.1], [0.2, 0.6], [0.1, 0.2]], np.float32)


def read(answer: Any, **rule: Any) -> Detections:
    """The detections of one row."""
    [found] = read_detections(Meaning(kind="boxes", **rule), np.asarray(answer, np.float32)[None])
    return found


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (np.hstack([CENTRES, SCORES]).T, {"layout": "scores", "axis": 1, "box": "cxcywh"}),
        (np.hstack([CENTRES, SCORES]), {"layout": "scores", "box": "cxcywh"}),
        (
            np.hstack([CORNERS, np.full((3, 1), 0.5), 2 * SCORES]),
            {"layout": "objectness", "box": "xyxy"},
        ),
        (
            np.hstack([CORNERS, [[0.9, 0], [0.6, 1], [0.2, 1]]]),
            {"layout": "final", "box": "xyxy"},
        ),
        (
            np.hstack([CORNERS, np.log(SCORES / (1 - SCORES))]),
            {"layout": "scores", "box": "xyxy", "activation": "sigmoid"},
        ),
        (
            np.hstack([CORNERS, np.log(np.hstack([SCORES, 1 - SCORES.sum(axis=1, keepdims=True) + 1e-9]))]),
            {"layout": "scores", "box": "xyxy", "activation": "softmax", "background": -1},
        ),
    ],
    ids=["columns", "rows", "objectness", "final", "sigmoid", "softmax"],
)
def test_every_layout_gives_the_same_detections(answer: Any, rule: dict[str, Any]) -> None:
    """The best first, without the box of 0.2."""
    found = read(answer, **rule)
    assert found.boxes.tolist() == CORNERS[:2].tolist()
    assert found.scores == pytest.approx([0.9, 0.6], rel=1e-5)
    assert found.classes.tolist() == [0, 1]


def test_a_background_in_front_moves_no_class() -> None:
    """Class 0 is none, and the others keep their numbers."""
    scores = [[0.9, 0.1, 0.0], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]]
    found = read(np.hstack([CORNERS, scores]), layout="scores", background=0)
    assert found.classes.tolist() == [1, 2]
    assert found.scores == pytest.approx([0.8, 0.7])


def test_overlapping_boxes_of_a_class_are_suppressed() -> None:
    """Beyond the limit, in the class alone, and only in layouts that are not final."""
    scores = [[0.9, 0], [0.8, 0], [0.7, 0]]
    boxes = np.hstack([CORNERS, scores])
    assert len(read(boxes, layout="scores", nms=0.3)) == 2
    assert len(read(boxes, layout="scores", nms=0.4)) == 3
    assert len(read(np.hstack([CORNERS, [[0.9, 0], [0, 0.8], [0, 0.7]]]), layout="scores", nms=0.3)) == 3
    assert len(read(np.hstack([CORNERS[[0, 0]], scores[:2]]), layout="scores")) == 1
    assert len(read(np.hstack([CORNERS[[0, 0]], scores[:2]]), layout="final")) == 2


def test_boxes_of_nan_are_none() -> None:
    """Where a row has fewer boxes than another one."""
    boxes = np.hstack([CORNERS, [[np.nan, 0], [0.8, 1], [0.7, 1]]])
    assert read(boxes, layout="final").scores == pytest.approx([0.8, 0.7])
    assert len(read(np.full((0, 6), 0), layout="final")) == 0


@pytest.mark.parametrize(
    ("form", "numbers"),
    [("xyxy", [1, 2, 5, 8]), ("yxyx", [2, 1, 8, 5]), ("cxcywh", [3, 5, 4, 6]), ("xywh", [1, 2, 4, 6])],
)
def test_coordinates_become_corners(form: Any, numbers: list[float]) -> None:
    """Of every form."""
    assert to_corners(form, np.array([numbers], np.float64)).tolist() == [[1, 2, 5, 8]]


def test_the_overlap_is_the_intersection_over_the_union() -> None:
    """Equal points overlap by 1, other empty boxes by 0."""
    found = overlap(CORNERS.astype(np.float64), CORNERS.astype(np.float64))
    assert found[0] == pytest.approx([1, 1 / 3, 0])
    points = np.array([[1, 1, 1, 1], [2, 2, 2, 2]], np.float64)
    assert overlap(points, points).tolist() == [[1, 0], [0, 1]]


def test_the_scores_of_a_row_are_summed_by_class() -> None:
    """Of its detections."""
    answers = np.hstack([CORNERS, [[0.9, 0], [0.6, 1], [0.2, 1]]])[None]
    assert sum_scores(Meaning(kind="boxes", layout="final"), answers) == pytest.approx(np.array([[0.9, 0.6]]))


@pytest.mark.parametrize(
    "partners",
    [
        {"s": SCORES[None]},
        {"s": SCORES.T[None]},
        {"s": SCORES.max(axis=1)[None], "c": np.array([[0, 1, 1]])},
    ],
    ids=["by box", "by class", "best"],
)
def test_boxes_and_scores_are_one_answer(partners: dict[str, Any]) -> None:
    """The outputs that the rule names are behind the coordinates, and no longer outputs of their own."""
    rule = Meaning(kind="boxes", scores="s", classes="c" if "c" in partners else None)
    joined = join_outputs({"b": rule}, {"b": CORNERS[None, :, None], "other": CORNERS, **partners})
    assert list(joined) == ["b", "other"]
    layout: Any = "final" if "c" in partners else "scores"
    found = read(joined["b"][0], layout=layout)
    assert (found.classes.tolist(), found.scores.tolist()) == ([0, 1], pytest.approx([0.9, 0.6]))


def test_outputs_of_other_sizes_are_not_joined() -> None:
    """The boxes stay alone, and differ from answers that are joined."""
    rule = Meaning(kind="boxes", scores="s")
    joined = join_outputs({"b": rule}, {"b": CORNERS[None], "s": SCORES[None, :2]})
    assert joined["b"].shape == (1, 3, 4)
