"""NaN is a fault where the graph computes with it, and allowed as a mark of missing values."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.sources.nan_weights import find_nan_weight
from tests.export.onnx_files import FLOAT, file_of, random

NAN = np.float32(np.nan)


def graph(*nodes: Any, **weights: Any) -> Any:
    """Return a graph from x [n, 4] to y [n, 3]."""
    content = file_of(list(nodes), [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3])], weights)
    return onnx.load_from_string(content).graph


def marked() -> Any:
    """Return a graph in which -99 marks a missing value, which counts as 0."""
    nodes = [
        helper.make_node("Equal", ["x", "code"], ["is_code"]),
        helper.make_node("Where", ["is_code", "missing", "x"], ["some"]),
        helper.make_node("IsNaN", ["some"], ["gaps"]),
        helper.make_node("Where", ["gaps", "zero", "some"], ["all"]),
        helper.make_node("MatMul", ["all", "w"], ["y"]),
    ]
    return graph(*nodes, code=np.float32(-99), missing=NAN, zero=np.float32(0), w=random(4, 3))


def test_a_mark_of_what_is_missing_is_no_fault() -> None:
    """NaN that marks missing values, or that no node reads, is accepted."""
    made = marked()
    made.initializer.append(numpy_helper.from_array(np.array([np.nan]), "idle"))
    assert find_nan_weight(made) is None


def test_weights_of_infinity_are_no_fault() -> None:
    """Infinite weights are accepted, because masks have them."""
    assert (
        find_nan_weight(graph(helper.make_node("MatMul", ["x", "w"], ["y"]), w=random(4, 3) + np.inf)) is None
    )


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([helper.make_node("MatMul", ["x", "w"], ["y"], "head")], ("w", "MatMul 'head'")),
        (
            [
                helper.make_node("Transpose", ["w"], ["turned"]),
                helper.make_node("Gemm", ["x", "turned"], ["y"], transB=1),
            ],
            ("w", "Gemm 'y'"),
        ),
        (
            [
                helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.full(4, NAN))),
                helper.make_node("Add", ["x", "c"], ["moved"]),
                helper.make_node("MatMul", ["moved", "w"], ["y"]),
            ],
            ("c", "MatMul 'y'"),
        ),
    ],
    ids=["weight", "turned weight", "bias before a product"],
)
def test_nan_in_what_is_computed_is_found(nodes: list[Any], expected: tuple[str, str]) -> None:
    """NaN that is computed with is found, with the constant and the node."""
    weight = random(4, 3)
    weight[1, 1] = NAN if expected[0] == "w" else 0
    assert find_nan_weight(graph(*nodes, w=weight)) == expected


def test_nan_in_a_graph_inside_a_node_is_found() -> None:
    """NaN in a graph inside a node is found."""
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["z"], "inside")],
        "branch",
        [],
        [helper.make_tensor_value_info("z", FLOAT, None)],
    )
    node = helper.make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=inner)
    weight = np.full((4, 3), NAN)
    assert find_nan_weight(graph(node, flag=np.array(True), w=weight)) == ("w", "MatMul 'inside'")
