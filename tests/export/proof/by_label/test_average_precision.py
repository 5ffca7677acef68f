"""The average precision of detections is that of a plain implementation, and its intervals hold what they
promise."""

from typing import Any

import numpy as np
import pytest

from export.proof.by_label.average_precision import compare_detections
from export.proof.quality import measure
from serve.bundles.meaning import Meaning

FINAL = Meaning(kind="boxes", layout="final", box="xyxy", activation="none", nms=1.0)
ROWS = 60


def make(seed: int = 0, noise: float = 2.0, rows: int = ROWS) -> tuple[Any, Any, Any]:
    """Labels with up to 3 boxes of 3 classes in a row, and the answers of two variants: the boxes moved, the
    second twice as far, and one that is wrong."""
    random = np.random.default_rng(seed)
    labels = np.full((rows, 3, 5), np.nan)
    for row in labels:
        for box in row[: random.integers(0, 4)]:
            corner = random.uniform(0, 60, 2)
            box[:] = [*corner, *(corner + random.uniform(10, 20, 2)), random.integers(0, 3)]
    answers = []
    moved = random.normal(0, noise, (rows, 3, 4))
    scores = random.uniform(0.05, 1, (rows, 4))
    for scale in (1, 2):
        found = np.full((rows, 4, 6), np.nan, np.float32)
        found[:, :3, :4], found[:, :3, 5] = labels[..., :4] + scale * moved, labels[..., 4]
        found[:, 3, :4], found[:, 3, 5] = [5, 5, 20, 20], 0
        found[..., 4] = np.where(np.isnan(found[..., 0]), np.nan, scores)
        answers.append(found)
    return labels, answers[0], answers[1]


def iou(one: Any, other: Any) -> float:
    """The overlap of two boxes."""
    width, height = (max(0, min(one[2 + i], other[2 + i]) - max(one[i], other[i])) for i in (0, 1))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return float(width * height / (areas - width * height))


def plain_precision(labels: Any, answers: Any, label: int, limit: float) -> float:
    """The average precision of one class: the sum over the recall of the best precision from there on."""
    listed = sorted(
        ((box[4], row, box[:4]) for row in range(len(answers)) for box in answers[row] if box[5] == label),
        key=lambda item: -item[0],
    )
    truth = {row: [box[:4] for box in labels[row] if box[4] == label] for row in range(len(labels))}
    total = sum(map(len, truth.values()))
    right, curve = 0, []
    for number, (_, row, box) in enumerate(listed, 1):
        overlaps = [iou(box, other) for other in truth[row]]
        if overlaps and max(overlaps) >= limit:
            truth[row].pop(int(np.argmax(overlaps)))
            right += 1
        curve.append((right / total, right / number))
    area, before = 0.0, 0.0
    for place, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[place:])
        before = recall
    return area


def test_the_average_precision_is_that_of_a_plain_implementation() -> None:
    """At every overlap and of every class, for both variants, so that the change is right too."""
    labels, before, after = make()
    found = compare_detections(FINAL, labels, before, after, seed=0)
    limits = np.linspace(0.5, 0.95, 10)
    each = [
        np.array([[plain_precision(labels, side, label, limit) for label in range(3)] for limit in limits])
        for side in (before, after)
    ]
    assert found["map"].value == pytest.approx(each[1].mean(), rel=1e-9)
    assert found["map"].change == pytest.approx(each[1].mean() - each[0].mean(), rel=1e-9)
    assert found["map50"].value == pytest.approx(each[1][0].mean(), rel=1e-9)
    assert found["map50"].value - found["map50"].change == pytest.approx(each[0][0].mean(), rel=1e-9)


def test_the_recall_counts_detections_of_the_rule_alone() -> None:
    """Those below its score find no box."""
    labels, before, _ = make(noise=0)
    boxes = (~np.isnan(labels[..., 4])).sum()
    for least in (0.0, 0.5):
        rule = FINAL.model_copy(update={"least_score": least})
        found = compare_detections(rule, labels, before, before, seed=0)["recall"]
        assert found.value == pytest.approx((before[:, :3, 4] >= least).sum() / boxes)


def test_no_change_is_not_certain() -> None:
    """A row that only one variant gets right may not have been seen: the interval is as wide as 3 / rows."""
    labels, before, _ = make()
    change = compare_detections(FINAL, labels, before, before, seed=0)["map50"]
    assert change.change == 0
    assert -5 / ROWS < change.low < -1 / ROWS
    assert 1 / ROWS < change.high < 5 / ROWS


def test_the_interval_holds_the_change_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 19 of 20 samples on average."""
    monkeypatch.setattr("export.proof.bootstrap._DRAWS", 300)
    labels, before, after = make(seed=100, rows=600)
    true = compare_detections(FINAL, labels, before, after, seed=0)["map"].change
    held = 0
    for start in range(0, 600, 60):
        part = slice(start, start + 60)
        change = compare_detections(FINAL, labels[part], before[part], after[part], seed=0)["map"]
        held += change.low <= true <= change.high
    assert held >= 8


def test_the_intervals_of_many_detections_are_of_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay nearly the same, and the figures are exact."""
    labels, before, after = make()
    exact = compare_detections(FINAL, labels, before, after, seed=0)["map50"]
    monkeypatch.setattr("export.proof.by_label.average_precision._MOST_GROUPS", 60)
    grouped = compare_detections(FINAL, labels, before, after, seed=0)["map50"]
    assert (grouped.value, grouped.change) == (exact.value, exact.change)
    assert (grouped.low, grouped.high) == pytest.approx((exact.low, exact.high), abs=0.03)
    assert grouped.low != exact.low


@pytest.mark.parametrize("empty", [True, False])
def test_an_answer_without_detections_has_no_precision(empty: bool) -> None:
    """Whichever variant it is."""
    labels, before, _ = make()
    nothing = np.where(np.arange(6) == 4, 0, before).astype(np.float32)
    sides = (before, nothing) if empty else (nothing, before)
    found = compare_detections(FINAL, labels, sides[0], sides[1], seed=0)
    assert (found["map"].value == 0) is empty
    assert (found["recall"].value == 0) is empty


def test_the_quality_has_the_figures() -> None:
    """Beside the agreement; the baseline has no interval."""
    labels, before, after = make()
    quality = measure("detection", before, after, labels, 0, meaning=FINAL)
    assert quality.map
    assert quality.agreement
    assert 0.3 < quality.agreement.value < 0.9
    itself = measure("detection", before, before, labels, 0, meaning=FINAL).map
    assert itself
    assert (itself.change, itself.low, itself.high) == (0, 0, 0)
