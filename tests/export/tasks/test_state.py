"""Recurrent state is no answer: the export carries it in the bundle, and does not judge a variant by it."""

from pathlib import Path

import yaml
from onnx import helper

from export.pipeline import run
from serve.bundles.bundle import read_bundle
from tests.export.onnx_files import FLOAT, file_of, random


def test_the_next_state_is_marked_in_the_bundle(tmp_path: Path) -> None:
    """The rows are random, the state [2, rows, 4] has its rows first, and only the scores are compared."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("RNN", ["steps", "w", "r", "", "", "h"], ["all", "hn"], hidden_size=4),
        helper.make_node("Squeeze", ["hn", "first"], ["last"]),
        helper.make_node("MatMul", ["last", "head"], ["scores"]),
    ]
    weights = {"w": random(1, 4, 3), "r": random(1, 4, 4), "head": random(4, 2), "first": [0]}
    inputs = [("x", FLOAT, ["batch", 5, 3]), ("h", FLOAT, [1, "batch", 4])]
    outputs = [("scores", FLOAT, ["batch", 2]), ("hn", FLOAT, [1, "batch", 4])]
    (tmp_path / "m.onnx").write_bytes(file_of(nodes, inputs, outputs, weights))
    forms = {"x": {"dtype": "float32", "shape": [5, 3]}, "h": {"dtype": "float32", "shape": [1, 4]}}
    recipe = {
        "model": "m",
        "task": "tensors",
        "source": {"onnx": "m.onnx"},
        "data": {"random": {"rows": 100, "inputs": forms}},
        "outputs": ["scores", "hn"],
        "floor": {"agreement": 0.9},
        "variants": {"fp32": []},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run(tmp_path / "recipe.yaml", tmp_path / "models")
    bundle = read_bundle(tmp_path / "models" / "m" / "fp32")
    kinds = {item.name: item.meaning.kind for item in bundle.figures.quality.outputs}
    assert kinds == {"scores": "numbers", "hn": "state"}
    assert bundle.random_rows
