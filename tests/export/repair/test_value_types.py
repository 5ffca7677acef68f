"""Values without a type in onnx's inference get one, so that steps can process what follows."""

import onnx
from onnx import helper

from export.onnx.from_onnx import from_onnx
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, file_of, random


def test_what_scikit_learns_operators_make_has_a_type() -> None:
    """The result of a Scaler gets a type, so the product behind it can be processed."""
    nodes = [
        helper.make_node("Scaler", ["x"], ["scaled"], domain="ai.onnx.ml", offset=[0.0] * 4, scale=[1.0] * 4),
        helper.make_node("MatMul", ["scaled", "w"], ["y"]),
    ]
    content = file_of(
        nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3])], {"w": random(4, 3)}, standard=17, ml=3
    )
    graph = from_onnx(content, split_of({"x": random(20, 4)}), ("y",)).graph
    typed = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph)).graph.value_info
    [scaled] = [item for item in typed if item.name == "scaled"]
    assert scaled.type.tensor_type.elem_type == FLOAT
    assert len(scaled.type.tensor_type.shape.dim) == 2
