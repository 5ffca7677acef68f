"""Quality is measured through production's own session, and the floor speaks in numbers."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from export.datasets import Data
from export.errors import ExportFailed
from export.evaluate import Quality, judge, measure, predict
from export.pipeline import Outcome
from export.recipe import Floor
from serve.bundle import MODEL, describe_file, write_bundle
from serve.session import Session

FLOOR = Floor(accuracy_drop=0.02, macro_f1_drop=0.03, agreement=0.9)
BASELINE = Quality(accuracy=0.98, macro_f1=0.97, agreement=1)


def test_figures_are_what_they_are_called() -> None:
    """Accuracy, macro-F1 and agreement on an example counted by hand."""
    labels, baseline = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    quality = measure(np.array([0, 1, 1, 1]), baseline, labels)
    assert quality.accuracy == 0.75
    assert quality.agreement == 0.5
    # F1 of class 0: precision 1, recall 1/2; of class 1: precision 2/3, recall 1.
    assert quality.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"accuracy": 0.96}, None),
        ({"accuracy": 0.95}, "accuracy 0.9500 is 0.0300 below the baseline's 0.9800, allowed are 0.0200"),
        ({"macro_f1": 0.93}, "macro_f1 0.9300 is 0.0400 below the baseline's 0.9700, allowed are 0.0300"),
        ({"agreement": 0.89}, "agreement with the baseline 0.8900 is below the least allowed 0.9000"),
        ({"accuracy": 1.0, "macro_f1": 1.0}, None),
    ],
)
def test_the_floor_judges(changes: dict[str, float], reason: str | None) -> None:
    """A drop up to the limit passes, more is refused in words and numbers."""
    assert judge(FLOOR, BASELINE.model_copy(update=changes), BASELINE) == reason


def test_every_reason_is_given() -> None:
    """A variant that fails twice is told both."""
    bad = Quality(accuracy=0.1, macro_f1=0.97, agreement=0.1)
    reason = judge(FLOOR, bad, BASELINE)
    assert reason is not None
    assert reason.startswith("accuracy 0.1000")
    assert "; agreement" in reason


def test_predicts_every_held_out_row(outcome: Outcome, data: Data) -> None:
    """The recorded accuracy is that of the session's own answers, the last short batch included."""
    bundle = outcome.model.bundles["slim-int8"]
    predicted = predict(Session(outcome.model.folder / "slim-int8"), data.held_out)
    assert len(predicted) == len(data.held_out)
    assert np.mean(predicted == data.held_out.labels) == bundle.figures.accuracy


def test_answers_that_are_no_numbers_are_refused(outcome: Outcome, data: Data, tmp_path: Path) -> None:
    """NaN has no top class, so it must not be counted as one."""
    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, 8, 8])
    nodes = [helper.make_node("Neg", ["image"], ["n"]), helper.make_node("Sqrt", ["n"], ["logits"])]
    graph = helper.make_graph(nodes, "g", [value], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content = model.SerializeToString()
    bundle = outcome.model.bundles["fp32"].model_copy(update={"files": (describe_file(MODEL, content),)})
    write_bundle(tmp_path / "fp32", bundle, {MODEL: content})
    with pytest.raises(ExportFailed, match="fp32 answers held-out rows 0 to 63 with NaN"):
        predict(Session(tmp_path / "fp32"), data.held_out)
