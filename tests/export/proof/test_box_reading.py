"""How a detector says its boxes is read from its answers, or refused with the key that says it."""

from typing import Any

import numpy as np
import pytest

from export.errors import ExportFailed
from export.proof.box_reading import complete_box_rule
from export.proof.output_quality import read_meanings
from serve.bundles.meaning import Rule

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.uniform(10, 600, (20, 200, 4))
CORNERS = np.concatenate([CENTRES[..., :2], CENTRES[..., :2] + CENTRES[..., 2:]], axis=-1)
SCORES = RANDOM.uniform(0, 1, (20, 200, 3))
CLASSES = RANDOM.integers(0, 3, (20, 200, 1))
RAW = np.concatenate([CENTRES, SCORES], axis=-1).astype(np.float32)
FINAL = np.concatenate([CORNERS, SCORES[..., :1], CLASSES], axis=-1).astype(np.float32)


def read(rule: dict[str, Any] | None = None, **answers: Any) -> dict[str, Any]:
    """The parameters of the first output's rule."""
    name = next(iter(answers))
    return complete_box_rule(name, Rule(kind="boxes", **rule or {}), answers).model_dump()


@pytest.mark.parametrize(
    ("answers", "rule", "expected"),
    [
        ({"y": RAW.swapaxes(1, 2)}, {}, {"layout": "scores", "axis": 1, "box": "cxcywh", "nms": 0.5}),
        ({"y": RAW}, {"layout": "scores"}, {"layout": "scores", "axis": -1, "box": "cxcywh"}),
        ({"y": RAW}, {"layout": "objectness"}, {"layout": "objectness", "axis": -1, "box": "cxcywh"}),
        ({"y": RAW[..., :5]}, {}, {"layout": "scores", "axis": -1}),
        ({"y": FINAL}, {}, {"layout": "final", "axis": -1, "box": "xyxy", "activation": "none", "nms": 1}),
        ({"y": FINAL}, {"box": "yxyx", "nms": 0.3}, {"box": "yxyx", "nms": 0.3}),
        ({"b": CORNERS, "s": SCORES}, {}, {"layout": "scores", "scores": "s", "box": "xyxy"}),
        ({"b": CORNERS[:, :, None], "s": SCORES}, {}, {"layout": "scores", "scores": "s"}),
        (
            {"b": CENTRES, "c": CLASSES[..., 0], "s": SCORES[..., 0], "n": np.ones(20)},
            {"iou": 0.7},
            {"layout": "final", "scores": "s", "classes": "c", "box": "cxcywh", "iou": 0.7},
        ),
        ({"b": CORNERS, "s": 9 * SCORES - 5}, {"activation": "sigmoid"}, {"activation": "sigmoid"}),
    ],
    ids=["columns", "rows", "objectness", "one class", "final", "given", "two", "wide", "three", "logits"],
)
def test_the_answers_show_the_form(answers: Any, rule: Any, expected: dict[str, Any]) -> None:
    """What the rule gives stays."""
    assert read(rule, **answers).items() >= expected.items()


@pytest.mark.parametrize(
    ("answers", "rule", "message"),
    [
        ({"y": RAW}, {}, "the output y has 7 numbers for each box.*write `layout`"),
        ({"y": 5 * RAW[:, :8]}, {}, r"shape \[20, 8, 7\], which does not show.*axis: 1"),
        ({"y": 5 * RAW.swapaxes(1, 2)}, {}, "scores of y lie in .*write `activation: sigmoid`"),
        ({"y": RAW[..., :4]}, {}, "the output y holds the 4 coordinates.*write .*scores: NAME"),
        ({"b": CORNERS, "s": SCORES, "t": SCORES}, {}, r"outputs \(b \[20, 200, 4\].*scores: NAME"),
        ({"b": SCORES, "s": CORNERS}, {}, r"the output b is float64 \[20, 200, 3\]"),
        ({"b": CORNERS, "s": SCORES[:, :9]}, {"scores": "s"}, r"the output b is float64 \[20, 200, 4\]"),
        ({"y": RAW[0]}, {}, r"the output y is float32 \[200, 7\]"),
        ({"y": RAW}, {"layout": "final"}, "the layout final has 6 numbers for each box.*has 7"),
        (
            {"y": np.concatenate([FINAL[:, :190], FINAL[:, :10, [2, 3, 0, 1, 4, 5]]], axis=1)},
            {},
            "the coordinates of y do not show their form.*write `box`",
        ),
    ],
    ids=["layout", "axis", "logits", "scores", "two", "order", "sizes", "flat", "final", "box"],
)
def test_what_they_do_not_show_is_refused(answers: Any, rule: Any, message: str) -> None:
    """With the key of the recipe."""
    with pytest.raises(ExportFailed, match=message):
        read(rule, **answers)


def test_an_output_of_scores_has_no_meaning_of_its_own() -> None:
    """It belongs to the boxes, and other outputs keep theirs."""
    answers = {"b": CORNERS, "s": SCORES, "other": SCORES[:, 0]}
    meanings = read_meanings("detection", answers, labelled=False)
    assert {name: meaning.kind for name, meaning in meanings.items()} == {"b": "boxes", "other": "numbers"}
