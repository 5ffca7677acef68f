"""Weights are counted in each part of a graph."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.proof.parameter_count import count_parameters
from tests.export.onnx_files import file_of


def test_weights_of_and_for_graphs_inside_nodes_are_counted() -> None:
    """Weights in graphs inside nodes are counted, and so are outer ones that only these read."""
    branches = {}
    for name, weight in (("then_branch", "outer"), ("else_branch", "inner")):
        nodes = [
            helper.make_node("MatMul", ["x", weight], [f"{name}_h"]),
            helper.make_node("MatMul", [f"{name}_h", "own"], [f"{name}_y"]),
        ]
        own = {"own": np.ones((4, 4), np.float32)} | (
            {"inner": np.eye(4, dtype=np.float32)} if name[0] == "e" else {}
        )
        branches[name] = helper.make_graph(
            nodes,
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, key) for key, array in own.items()],
        )
    graph = file_of(
        [helper.make_node("If", ["flag"], ["y"], **branches)],
        [("x", TensorProto.FLOAT, ["n", 4])],
        [("y", TensorProto.FLOAT, ["n", 4])],
        {"flag": np.array(True), "outer": np.ones((4, 4), np.float32)},
    )
    found = count_parameters(onnx.load_from_string(graph))
    assert (found.count, found.nonzero) == (64, 52)
