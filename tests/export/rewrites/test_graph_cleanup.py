"""Values that are not used are removed from the graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from export.rewrites.graph_cleanup import finish, sort
from export.step import Half, Quantize
from export.steps.half import half
from export.steps.quantize import quantize
from tests.export.graphs import context_for, conv_graph, exported_of, split_of
from tests.export.onnx_files import FLOAT, answers, file_of, random


def test_dead_operators_go_with_their_weights() -> None:
    """An operator that is not used is removed, together with its weights."""
    model = onnx.load_from_string(conv_graph())
    first, second = (node for node in model.graph.node if node.op_type == "Relu")
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    pool.input[0] = first.output[0]
    finish(model)
    assert second.output[0] not in {name for node in model.graph.node for name in node.output}
    assert "features.1.weight" not in {item.name for item in model.graph.initializer}


def test_nodes_stand_behind_what_graphs_inside_them_read() -> None:
    """Only nodes that come before values read by their inner graphs are moved."""
    inner = helper.make_tensor_value_info("z", FLOAT, None)
    branch = helper.make_graph([helper.make_node("Neg", ["late"], ["z"])], "branch", [], [inner])
    nodes = [
        helper.make_node("Relu", ["x"], ["first"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("Abs", ["x"], ["second"]),
        helper.make_node("Add", ["first", "second"], ["late"]),
    ]
    values = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
    model = sort(onnx.load_from_string(file_of(nodes, *values, {"flag": np.array(True)})))
    assert [node.op_type for node in model.graph.node] == ["Relu", "Abs", "Add", "If"]


@pytest.mark.parametrize("step", ["quantize", "half"])
def test_steps_leave_nodes_behind_what_graphs_inside_them_read(step: str, tmp_path: Path) -> None:
    """A branch stays after the layer whose result it reads."""
    rows = split_of({"x": random(40, 16)})
    context = context_for("embedding", rows, split_of({"x": random(40, 16, seed=1)}), tmp_path)
    inner = helper.make_tensor_value_info("z", FLOAT, None)
    branch = helper.make_graph([helper.make_node("Neg", ["h"], ["z"])], "branch", [], [inner])
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], "layer"),
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "zero"], ["above"]),
        helper.make_node("If", ["above"], ["y"], "if", then_branch=branch, else_branch=branch),
    ]
    weight = random(16, 4)
    weights = {"w": weight, "zero": np.float32(0)}
    graph = exported_of(file_of(nodes, [("x", FLOAT, ["n", 16])], [("y", FLOAT, ["n", 4])], weights))
    if step == "half":
        made = half(graph, Half(step="half", provider="cuda"), context)
    else:
        made = quantize(graph, Quantize(step="quantize", method="static"), context)
    x = random(5, 16, seed=2)
    np.testing.assert_allclose(answers(made.graph, x=x)[0], -x @ weight, atol=0.3)
