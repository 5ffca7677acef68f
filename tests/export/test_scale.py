"""What the server may put into one run is proven before a bundle is written."""

from pathlib import Path

import pytest
import yaml
from onnx import TensorProto

from export.errors import ExportFailed
from export.pipeline import Outcome, run
from tests.export.graphs import Builder, lstm_graph, value

_DATA = """
import numpy as np
def make():
    rows = np.random.default_rng(0).normal(0, 1, (120, *{shape})).astype(np.float32)
    parts = {{"calibration": rows[:30], "search": rows[30:60], "held_out": rows[60:]}}
    return {{name: ({{"{name}": part}}, None) for name, part in parts.items()}}
"""


def export(folder: Path, graph: bytes, name: str, shape: tuple[int, ...], steps: list[object]) -> Outcome:
    """The graph as `fp32`, and `small` where there are steps, on rows of that shape."""
    (folder / "graph.onnx").write_bytes(graph)
    (folder / f"{name}_data.py").write_text(_DATA.format(shape=shape, name=name))
    recipe = {
        "model": "mixed",
        "source": {"onnx": "graph.onnx"},
        "data": {"factory": f"{name}_data:make"},
        "outputs": ["scores"],
        "floor": {"agreement": 0.1},
        "variants": {"fp32": [], "small": steps} if steps else {"fp32": []},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run(folder / "recipe.yaml", folder / "models")


def test_a_baseline_whose_rows_see_each_other_is_refused(tmp_path: Path) -> None:
    """Nobody could say what it answers; nothing is written."""
    build = Builder()
    build.add("Softmax", build.add("MatMul", "mixing", build.weight("w", 6, 3)), output="scores", axis=0)
    graph = build.finish(
        [value("mixing", TensorProto.FLOAT, "batch", 6)], [value("scores", TensorProto.FLOAT, "batch", 3)]
    )
    with pytest.raises(ExportFailed, match="other rows change the answer"):
        export(tmp_path, graph, "mixing", (6,), [])
    assert not (tmp_path / "models" / "mixed" / "fp32").exists()


def test_rows_that_quantization_has_tied_together_are_served_alone(tmp_path: Path) -> None:
    """An LSTM of 8 bits has one range for the batch: the bundle says so, and no batch pays."""
    steps: list[object] = [{"step": "quantize", "method": "dynamic"}]
    bundles = export(tmp_path, lstm_graph(), "steps", (5, 6), steps).model.bundles
    assert {name: bundle.rows for name, bundle in bundles.items()} == {"fp32": "together", "small": "alone"}
    assert bundles["small"].full_rows(0) == 1
