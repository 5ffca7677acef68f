"""Channels of different scale, as those of a detector, are each held to the floor."""

import numpy as np
import pytest
import yaml

from export.pipeline import ExportOutcome, run
from tests.export.onnx_files import FLOAT, file_of, random
from tests.export.task_exports import quality_of

CODE = """
import numpy as np
def make():
    rows = np.random.default_rng(0).normal(0, 1, (120, 8, 20)).astype(np.float32)
    parts = {"calibration": rows[:30], "search": rows[30:60], "held_out": rows[60:]}
    return {name: ({"x": part}, None) for name, part in parts.items()}
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """A head [rows, 24, 20] of 4 boxes in pixels and 20 scores, which 8 bits make one constant."""
    from onnx import helper

    folder = tmp_path_factory.mktemp("detector")
    weight = random(24, 8, 1)
    weight[:4] *= np.float32(3000)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="head")]
    graph = file_of(nodes, [("x", FLOAT, ["n", 8, 20])], [("y", FLOAT, ["n", 24, 20])], {"w": weight})
    (folder / "m.onnx").write_bytes(graph)
    (folder / "detector_rows.py").write_text(CODE)
    recipe = {
        "model": "detector",
        "task": "regression",
        "source": {"onnx": "m.onnx"},
        "data": {"factory": "detector_rows:make"},
        "outputs": ["y"],
        "floor": {"agreement": 0.95},
        "variants": {"fp32": [], "int8": [{"step": "quantize", "method": "static"}]},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run(folder / "recipe.yaml", folder / "models")


def test_a_detector_whose_scores_are_lost_is_rejected(outcome: ExportOutcome) -> None:
    """The boxes are kept, and no row agrees."""
    assert outcome.rejected == ["int8"]
    agreement = quality_of(outcome, "int8").agreement
    assert agreement
    assert agreement.value == 0


def test_the_bundle_holds_the_spread_of_each_channel(outcome: ExportOutcome) -> None:
    """With the dimension that it belongs to, from which a shadow compares."""
    [output] = quality_of(outcome, "fp32").outputs
    assert (len(output.meaning.spread), output.meaning.spread_axis) == (24, 1)
    [ruined] = quality_of(outcome, "int8").outputs
    assert ruined.r2 is not None
    assert ruined.r2 < 0.5
