"""Binary and multi-label models are exported, judged by their labels and compared by their labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from export.pipeline import ExportOutcome
from serve.bundles.meaning import Rule
from serve.engine.session import open_session
from serve.tasks.compare_outputs import compare
from tests.export.task_exports import export_task, quality_of

CODE = """
import numpy as np, torch
def make_net():
    layers = [torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, {labels})]
    return torch.nn.Sequential(*layers{end})
def make():
    random = np.random.default_rng(0)
    x = random.normal(size=(900, 8)).astype(np.float32)
    wide = (x @ random.normal(size=(8, {labels})) + 0.3 * random.normal(size=(900, {labels})) > 1).astype(int)
    y = wide[:, 0] if {labels} == 1 else wide
    parts = {{"held_out": slice(0, 300), "search": slice(300, 400), "calibration": slice(400, 450)}}
    parts["train"] = slice(450, 900)
    return {{name: ({{"x": x[rows]}}, y[rows]) for name, rows in parts.items()}}
"""
TRAIN = {"epochs": 8, "batch_size": 64, "learning_rate": 0.003}
VARIANTS = {
    "fp32": [],
    "int8": [{"step": "quantize", "method": "static", "faithful": 0.9}],
    "slim": [
        {"step": "prune", "remove": "channels", "ratio": 0.25, "importance": "taylor"},
        {"step": "distill", "match": {"logits": 1, "labels": 1}, **TRAIN},
    ],
    "tuned": [{"step": "prune", "remove": "weights", "ratio": 0.5}, {"step": "finetune", **TRAIN}],
    "poor": [{"step": "prune", "remove": "weights", "ratio": 0.8}],
}


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """One logit a row."""
    folder = tmp_path_factory.mktemp("one_label")
    floor = {"accuracy_drop": 0.08, "f1_drop": 0.12, "auc_drop": 0.08}
    code = CODE.format(labels=1, end="")
    return export_task(folder, code, "binary", Rule(kind="labels"), floor=floor, variants=VARIANTS)


@pytest.fixture(scope="module")
def multilabel(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """Four chances a row."""
    folder = tmp_path_factory.mktemp("four_labels")
    floor = {"micro_f1_drop": 0.08, "macro_f1_drop": 0.1, "auc_drop": 0.08}
    code = CODE.format(labels=4, end=", torch.nn.Sigmoid()")
    return export_task(folder, code, "multilabel", Rule(kind="labels"), floor=floor, variants=VARIANTS)


def rows_of(outcome: ExportOutcome) -> tuple[Any, Any]:
    """The held-out rows."""
    space: dict[str, Any] = {}
    exec((outcome.model.folder.parents[1] / f"{outcome.model.name}.py").read_text(), space)
    inputs, labels = space["make"]()["held_out"]
    return inputs["x"], labels


@pytest.mark.parametrize("name", ["binary", "multilabel"])
def test_a_poor_variant_alone_is_rejected(name: str, request: pytest.FixtureRequest) -> None:
    """Quantized, pruned and taught ones pass."""
    outcome: ExportOutcome = request.getfixturevalue(name)
    assert not outcome.failed
    assert outcome.rejected == ["poor"]


@pytest.mark.parametrize(("name", "threshold"), [("binary", 0.0), ("multilabel", 0.5)])
def test_the_bundle_has_the_figures_of_its_answers(
    name: str, threshold: float, request: pytest.FixtureRequest
) -> None:
    """F1 and AUC are scikit-learn's, and a host that compares by the bundle counts the same agreement."""
    outcome: ExportOutcome = request.getfixturevalue(name)
    x, labels = rows_of(outcome)
    before, after = (
        np.asarray(open_session(outcome.model.folder / variant).run({"x": x})["y"], np.float64)
        for variant in ("fp32", "poor")
    )
    quality = quality_of(outcome, "poor")
    [output] = quality.outputs
    assert (output.meaning.kind, output.meaning.threshold) == ("labels", threshold)
    figure = quality.f1 if name == "binary" else quality.micro_f1
    assert figure
    assert quality.auc
    average = "binary" if name == "binary" else "micro"
    assert figure.value == pytest.approx(f1_score(labels, after > threshold, average=average))
    assert quality.auc.value == pytest.approx(roc_auc_score(labels, after))
    assert quality.agreement
    differ = compare("tensors", before, after, output.meaning).differ
    assert quality.agreement.value == pytest.approx(1 - differ.mean())


def test_the_report_shows_the_figures_of_the_task(multilabel: ExportOutcome) -> None:
    """And none of classes."""
    page = Path(multilabel.model.folder / "report.html").read_text()
    assert all(f"<th>{heading}</th>" in page for heading in ("micro-F1", "macro-F1", "AUC", "agreement"))
    assert "<th>accuracy</th>" not in page
