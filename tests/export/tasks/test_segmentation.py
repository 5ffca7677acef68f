"""A segmentation is exported, judged by the classes of its pixels and compared pixel by pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from export.pipeline import ExportOutcome
from serve.bundles.meaning import Rule
from serve.engine.session import open_session
from serve.tasks.compare_outputs import compare
from tests.export.task_exports import export_task, quality_of

CODE = """
import numpy as np, torch
def make_net():
    layers = [torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, padding=1)]
    return torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Conv2d(16, 3, 1))
def make():
    random = np.random.default_rng(0)
    image, label = random.normal(0, 0.3, (450, 1, 10, 10)), np.zeros((450, 10, 10), np.uint8)
    for row in range(450):
        for kind in (1, 2):
            top, left = random.integers(0, 7, 2)
            image[row, 0, top : top + 3, left : left + 3] += 2 * kind
            label[row, top : top + 3, left : left + 3] = kind
    label[:, 0, 0] = 255
    parts = {"held_out": slice(0, 150), "search": slice(150, 200), "calibration": slice(200, 250)}
    parts["train"] = slice(250, 450)
    return {name: ({"x": image[rows].astype(np.float32)}, label[rows]) for name, rows in parts.items()}
"""
TRAIN = {"epochs": 6, "batch_size": 64, "learning_rate": 0.003}
VARIANTS = {
    "fp32": [],
    "int8": [{"step": "quantize", "method": "static", "faithful": 0.9}],
    "slim": [
        {"step": "prune", "remove": "channels", "ratio": 0.25, "importance": "taylor"},
        {"step": "distill", "match": {"logits": 1, "labels": 1}, **TRAIN},
    ],
    "tuned": [{"step": "prune", "remove": "weights", "ratio": 0.3}, {"step": "finetune", **TRAIN}],
    "poor": [{"step": "prune", "remove": "weights", "ratio": 0.8}],
}


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """Logits [batch, 3, 10, 10] of squares of two brightnesses on a dark ground."""
    rule = {"kind": "classes", "axis": 1}
    return export_task(
        tmp_path_factory.mktemp("squares"),
        CODE,
        "segmentation",
        Rule(kind="classes", axis=1),
        floor={"miou_drop": 0.1, "accuracy_drop": 0.05, "worst_class_drop": 0.2, "kl": 0.5},
        rules={"y": rule},
        variants=VARIANTS,
    )


def answers_of(outcome: ExportOutcome, variant: str) -> tuple[Any, Any]:
    """The held-out labels, and the variant's answers."""
    space: dict[str, Any] = {}
    exec((outcome.model.folder.parents[1] / f"{outcome.model.name}.py").read_text(), space)
    inputs, labels = space["make"]()["held_out"]
    came = open_session(outcome.model.folder / variant).run({"x": inputs["x"]})["y"]
    return labels, np.asarray(came, np.float64)


def test_a_poor_variant_alone_is_rejected(squares: ExportOutcome) -> None:
    """Quantized, pruned and taught ones pass."""
    assert not squares.failed
    assert squares.rejected == ["poor"]


def test_the_bundle_has_the_figures_of_its_answers(squares: ExportOutcome) -> None:
    """Pixels of 255 do not count; the intersection over the union is scikit-learn's."""
    labels, before = answers_of(squares, "fp32")
    _, after = answers_of(squares, "int8")
    counted = labels != 255
    top = after.argmax(axis=1)
    quality = quality_of(squares, "int8")
    assert quality.miou
    assert quality.accuracy
    assert quality.worst_class
    assert (quality.macro_f1, quality.loss) == (None, None)
    assert quality.miou.value == pytest.approx(jaccard_score(labels[counted], top[counted], average="macro"))
    assert quality.accuracy.value == pytest.approx((top == labels)[counted].mean())
    recalls = [(top == kind)[labels == kind].mean() for kind in range(3)]
    assert quality.worst_class.value == pytest.approx(min(recalls))
    assert quality.agreement
    agrees = (top == before.argmax(axis=1))[counted].mean()
    assert quality.agreement.value == pytest.approx(agrees)


def test_a_host_compares_by_the_bundle(squares: ExportOutcome) -> None:
    """Pixel by pixel, along the dimension of the classes."""
    _, before = answers_of(squares, "fp32")
    _, after = answers_of(squares, "poor")
    [output] = quality_of(squares, "poor").outputs
    assert (output.meaning.kind, output.meaning.axis) == ("classes", 1)
    found = compare("segmentation", before, after, output.meaning)
    assert found.pairs.tolist() == [100] * len(before)
    assert output.agreement.value == pytest.approx(1 - found.differing.sum() / found.pairs.sum())


def test_the_report_shows_the_figures_of_the_task(squares: ExportOutcome) -> None:
    """Beside the figures of each class."""
    page = Path(squares.model.folder / "report.html").read_text()
    assert all(
        f"<th>{heading}</th>" in page for heading in ("mIoU", "accuracy", "worst class", "KL divergence")
    )
    assert "<th>macro-F1</th>" not in page
