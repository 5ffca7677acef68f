"""Constant nodes are converted to weights."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.rewrites.constants import hoist
from export.step import Half
from export.steps.half import half
from tests.export.graphs import context_for, exported_of, split_of
from tests.export.onnx_files import FLOAT, Values, answers, file_of, random

W = random(4, 4)


def as_node() -> bytes:
    """A product whose weight is a Constant node, as Paddle writes it."""
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W)),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    return file_of(nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], {})


def test_constant_nodes_become_initializers() -> None:
    """Constant nodes become initializers of the same name."""
    made = hoist(onnx.load_from_string(as_node()))
    assert [node.op_type for node in made.graph.node] == ["MatMul"]
    assert [item.name for item in made.graph.initializer] == ["w"]
    x = random(5, 4, seed=1)
    np.testing.assert_allclose(answers(made.SerializeToString(), x=x)[0], x @ W, rtol=1e-5, atol=1e-6)


def test_graphs_inside_read_them_too() -> None:
    """Inner graphs read the new initializers by the same names."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.full(4, 2, np.float32))),
        helper.make_node("Constant", [], ["flag"], value=numpy_helper.from_array(np.array(True))),
    ]
    branches = {
        name: helper.make_graph(
            [helper.make_node(operator, ["x", "two"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, FLOAT, None)],
        )
        for name, operator in (("then_branch", "Mul"), ("else_branch", "Add"))
    }
    nodes.append(helper.make_node("If", ["flag"], ["y"], **branches))
    content = file_of(nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], {})
    made = hoist(onnx.load_from_string(content))
    x = random(5, 4, seed=1)
    assert np.array_equal(answers(made.SerializeToString(), x=x)[0], 2 * x)


def test_a_constant_that_is_an_output_stays_a_node() -> None:
    """A constant that is also an output stays a node."""
    nodes = [
        helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(W)),
        helper.make_node("MatMul", ["x", "y"], ["z"]),
    ]
    outputs: Values = [("y", FLOAT, [4, 4]), ("z", FLOAT, ["n", 4])]
    made = hoist(onnx.load_from_string(file_of(nodes, [("x", FLOAT, ["n", 4])], outputs, {})))
    assert [node.op_type for node in made.graph.node] == ["Constant", "MatMul"]


def test_half_takes_them(tmp_path: Path) -> None:
    """`half` converts all 16 weights in Constant nodes."""
    rows = split_of({"x": random(20, 4)})
    context = context_for("embedding", rows, rows, tmp_path)
    made = half(exported_of(as_node()), Half(step="half", provider="cuda"), context)
    assert made.notes[-1]["half_weights"] == 16
