"""The recipe's outputs of a file are taught, served and judged, whatever the file's first output is."""

import numpy as np
import onnx
import pytest
import yaml
from onnx import helper

from export.pipeline import ExportOutcome, run
from serve.engine.session import open_session
from tests.export.onnx_files import FLOAT, file_of, random

_CODE = """
import numpy as np, torch
def make_net():
    return torch.nn.Linear(8, 3)
def make():
    rows = np.random.default_rng(1).normal(0, 1, (700, 8)).astype(np.float32)
    parts = {"held_out": rows[:200], "calibration": rows[200:250], "search": rows[250:300]}
    parts["train"] = rows[300:]
    return {name: ({"x": part}, None) for name, part in parts.items()}
"""
WEIGHT = random(8, 3)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """A student of a file whose first output is minus the scores, and whose second is served."""
    folder = tmp_path_factory.mktemp("taught")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["out:1"]), helper.make_node("Neg", ["out:1"], ["out:0"])]
    outputs = [("out:0", FLOAT, ["n", 3]), ("out:1", FLOAT, ["n", 3])]
    (folder / "m.onnx").write_bytes(file_of(nodes, [("x", FLOAT, ["n", 8])], outputs, {"w": WEIGHT}))
    (folder / "taught_rows.py").write_text(_CODE)
    distill = {"step": "distill", "match": {"logits": 1.0}, "epochs": 15, "batch_size": 32}
    student = {**distill, "learning_rate": 0.01, "student": {"factory": "taught_rows:make_net"}}
    recipe = {
        "model": "taught",
        "source": {"onnx": "m.onnx"},
        "data": {"factory": "taught_rows:make"},
        "outputs": {"scores": "out:1"},
        "floor": {"agreement": 0.8},
        "variants": {"fp32": [], "student": [student]},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run(folder / "recipe.yaml", folder / "models")


def test_a_student_learns_the_output_of_the_recipe(taught: ExportOutcome) -> None:
    """A student learns the recipe's output, and not the file's first one."""
    assert not taught.failed
    assert not taught.rejected


def test_every_variant_answers_under_the_name_of_the_recipe(taught: ExportOutcome) -> None:
    """Each variant has the recipe's output name, and the baseline gives the file's numbers."""
    x = random(4, 8, seed=2)
    for name in ("fp32", "student"):
        session = open_session(taught.model.folder / name)
        assert session.signature.output_names == ("scores",)
    came = open_session(taught.model.folder / "fp32").run({"x": x})["scores"].astype(np.float64)
    assert np.abs(came - x @ WEIGHT).max() < 1e-5
    assert "out:1" not in str(onnx.load(taught.model.folder / "fp32" / "model.onnx").graph.output)
