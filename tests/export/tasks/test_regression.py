"""A regression is exported, judged by its labels and compared by its rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from export.pipeline import ExportOutcome
from serve.bundles.meaning import Rule
from serve.engine.session import open_session
from serve.tasks.compare_outputs import compare
from tests.export.task_exports import export_task, quality_of

CODE = """
import numpy as np, torch
from sklearn.datasets import load_diabetes
def make_net():
    return torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
def make():
    x, y = load_diabetes(return_X_y=True)
    x, y = (20 * x).astype(np.float32), (y / 100).astype(np.float32)
    parts = {"held_out": slice(0, 150), "search": slice(150, 200), "calibration": slice(200, 250)}
    parts["train"] = slice(250, 442)
    return {name: ({"x": x[rows]}, y[rows]) for name, rows in parts.items()}
"""
TRAIN = {"epochs": 10, "batch_size": 64, "learning_rate": 0.003}
VARIANTS = {
    "fp32": [],
    "int8": [{"step": "quantize", "method": "static"}],
    "slim": [{"step": "prune", "remove": "channels", "ratio": 0.25}, {"step": "finetune", **TRAIN}],
    "taught": [
        {"step": "prune", "remove": "weights", "ratio": 0.5, "importance": "taylor"},
        {"step": "distill", "match": {"logits": 1, "labels": 0.1}, **TRAIN},
    ],
    "poor": [{"step": "prune", "remove": "weights", "ratio": 0.7}],
}


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """One number a row, held to its errors."""
    folder = tmp_path_factory.mktemp("diabetes")
    floor = {"mae_rise": 0.15, "rmse_rise": 0.15, "r2_drop": 0.15}
    rules = {"y": {"kind": "numbers", "abs": 0.25}}
    return export_task(
        folder, CODE, "regression", Rule(kind="numbers"), floor=floor, rules=rules, variants=VARIANTS
    )


def labels() -> tuple[Any, Any]:
    """The held-out rows."""
    x, y = load_diabetes(return_X_y=True)
    return (20 * x[:150]).astype(np.float32), (y[:150] / 100).astype(np.float32)


def test_a_poor_variant_alone_is_rejected(diabetes: ExportOutcome) -> None:
    """The reason has the error of both."""
    assert not diabetes.failed
    assert diabetes.rejected == ["poor"]
    assert "mae " in str(diabetes.model.bundles["poor"].rejected)


def test_figures_are_those_of_scikit_learn(diabetes: ExportOutcome) -> None:
    """Of the graph's own answers, with the change from the baseline's."""
    x, y = labels()
    answers = {
        name: open_session(diabetes.model.folder / name).run({"x": x})["y"][:, 0] for name in ("fp32", "int8")
    }
    quality = quality_of(diabetes, "int8")
    for name, metric in (("mae", mean_absolute_error), ("rmse", root_mean_squared_error), ("r2", r2_score)):
        figure = getattr(quality, name)
        before, after = (metric(y, answers[variant]) for variant in ("fp32", "int8"))
        assert (figure.value, figure.change) == pytest.approx((after, after - before), abs=1e-5)
        assert figure.low <= figure.change <= figure.high


def test_the_bundle_carries_the_rule(diabetes: ExportOutcome) -> None:
    """A host that compares by the bundle finds as many differences as the export."""
    x, _ = labels()
    before, after = (
        np.asarray(open_session(diabetes.model.folder / name).run({"x": x})["y"], np.float64)
        for name in ("fp32", "poor")
    )
    [output] = quality_of(diabetes, "poor").outputs
    assert (output.meaning.kind, output.meaning.abs) == ("numbers", 0.25)
    agreement = 1 - compare("regression", before, after, output.meaning).differ.mean()
    assert output.agreement.value == pytest.approx(agreement)
    assert agreement == pytest.approx((np.abs(after - before)[:, 0] <= 0.25).mean())


def test_the_report_shows_the_errors(diabetes: ExportOutcome) -> None:
    """A column for each figure, and none for the accuracy of classes."""
    page = Path(diabetes.model.folder / "report.html").read_text()
    assert all(f"<th>{heading}</th>" in page for heading in ("MAE", "RMSE", "R2", "agreement"))
    assert "<th>accuracy</th>" not in page
