"""Under `task: tensors` every output is compared by a rule of its own."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from export.errors import InvalidData
from export.pipeline import ExportOutcome, run
from export.proof.floor import require_measurable
from export.quality_limits import Floor
from serve.bundles.meaning import Meaning
from tests.export.onnx_files import FLOAT, INT64, file_of, random
from tests.export.task_exports import quality_of

CODE = """
import numpy as np
def make():
    rows = np.random.default_rng(0).normal(0, 1, (250, 8)).astype(np.float32)
    parts = {"calibration": rows[:50], "search": rows[50:100], "held_out": rows[100:]}
    return {name: ({"x": part}, None) for name, part in parts.items()}
"""
NODES = [("MatMul", ["x", "w"], ["map"]), ("Softmax", ["map"], ["shares"]), ("ArgMax", ["map"], ["top"])]
OUTPUTS = [("map", FLOAT, ["n", 5]), ("shares", FLOAT, ["n", 5]), ("top", INT64, ["n", 1])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, because a process imports each name once."""
    return tmp_path_factory.mktemp("three")


def export(folder: Path, **recipe: Any) -> ExportOutcome:
    """A graph of numbers, their softmax and the index of the largest, exported with these keys."""
    from onnx import helper

    nodes = [helper.make_node(*node, **({"axis": 1} if node[0] != "MatMul" else {})) for node in NODES]
    content = file_of(nodes, [("x", FLOAT, ["n", 8])], OUTPUTS, {"w": random(8, 5)})
    (folder / "m.onnx").write_bytes(content)
    (folder / "tensor_rows.py").write_text(CODE)
    keys = {
        "model": "three",
        "task": "tensors",
        "source": {"onnx": "m.onnx"},
        "data": {"factory": "tensor_rows:make"},
        "outputs": ["map", "shares", "top"],
        "floor": {"agreement": 0.4},
        "variants": {"fp32": [], "int8": [{"step": "quantize", "method": "dynamic"}]},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(keys | recipe))
    return run(folder / "recipe.yaml", folder / "models")


def test_each_output_has_its_rule(folder: Path) -> None:
    """From the recipe where it names one, otherwise from the answers; all outputs count."""
    outcome = export(folder, rules={"map": {"kind": "numbers", "rel": 0.02, "abs": 0.01}})
    found = {item.name: item.meaning for item in quality_of(outcome, "int8").outputs}
    assert {name: (item.kind, item.form) for name, item in found.items()} == {
        "map": ("numbers", "plain"),
        "shares": ("classes", "shares"),
        "top": ("exact", "unknown"),
    }
    assert (found["map"].abs, found["map"].rel) == (0.01, 0.02)
    assert outcome.model.bundles["int8"].provenance.rules == {
        "map": Meaning(kind="numbers", rel=0.02, abs=0.01).model_dump(
            include={"kind", "axis", "threshold", "abs", "rel"}
        )
    }
    quality = quality_of(outcome, "int8")
    assert quality.agreement
    assert quality.agreement.value == min(item.agreement.value for item in quality.outputs) < 1
    assert not outcome.rejected


def test_another_rule_is_another_variant(folder: Path) -> None:
    """A strict rule rejects what a loose one accepts, and is not mistaken for an unchanged recipe."""
    loose = export(folder, rules={"map": {"kind": "numbers", "abs": 1}})
    strict = export(folder, rules={"map": {"kind": "numbers", "abs": 1e-6}})
    assert (loose.rejected, strict.rejected) == ([], ["int8"])
    assert set(strict.status.values()) == {"built"}


def test_tensors_have_no_figures_from_labels() -> None:
    """A floor on accuracy is refused."""
    with pytest.raises(InvalidData, match="task tensors has no such figure; limit one of agreement"):
        require_measurable(Floor(accuracy_drop=0.1), "tensors", labelled=False)
