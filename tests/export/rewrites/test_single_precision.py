"""A graph in half floats becomes the same one in float32."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.errors import StepFailed
from export.rewrites.single_precision import to_single
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, HALF, answers, file_of, random

ROWS = split_of({"x": random(20, 4)})


def types_of(graph: Any) -> set[int]:
    """The types that stand in the graph and in those inside it."""
    found = {item.data_type for item in graph.initializer}
    found |= {item.type.tensor_type.elem_type for item in (*graph.input, *graph.output, *graph.value_info)}
    for node in graph.node:
        for attribute in node.attribute:
            found |= {attribute.i} if attribute.name == "to" else set()
            found |= {attribute.t.data_type} if attribute.name == "value" else set()
            found |= types_of(attribute.g) if attribute.name.endswith("branch") else set()
    return found


def halves(*nodes: Any, **weights: Any) -> bytes:
    """These nodes from `a` to `b`, both half floats; `x` and `y` are float32 [rows, 4]."""
    ends = [helper.make_node("Cast", ["x"], ["a"], to=HALF), helper.make_node("Cast", ["b"], ["y"], to=FLOAT)]
    return file_of([ends[0], *nodes, ends[1]], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], weights)


def branched() -> bytes:
    """The mean decides which of two graphs inside computes, with a weight of its own."""
    branches = {}
    for name, factor in (("then_branch", 2), ("else_branch", 3)):
        inner = helper.make_tensor_value_info(f"{name}_out", HALF, None)
        made = helper.make_node("Mul", ["a", f"{name}_factor"], [f"{name}_out"])
        factors = numpy_helper.from_array(np.full(4, factor, np.float16), f"{name}_factor")
        branches[name] = helper.make_graph([made], name, [], [inner], [factors])
    return halves(
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.float16(0).reshape(()))),
        helper.make_node("ReduceMean", ["a"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["above"]),
        helper.make_node("If", ["above"], ["b"], **branches),
    )


@pytest.mark.parametrize(
    "graph",
    [
        halves(helper.make_node("MatMul", ["a", "w"], ["b"]), w=random(4, 4).astype(np.float16)),
        branched(),
    ],
    ids=["a product", "graphs inside"],
)
def test_no_half_float_is_left(graph: bytes) -> None:
    """A graph in half floats becomes float32 everywhere, and its answers are the same to their rounding."""
    single = to_single(graph, ROWS)
    assert not {TensorProto.FLOAT16, TensorProto.BFLOAT16} & types_of(onnx.load_from_string(single).graph)
    x = random(9, 4, seed=1)
    np.testing.assert_allclose(answers(single, x=x)[0], answers(graph, x=x)[0], rtol=2e-2, atol=1e-2)


def test_weights_that_are_only_stored_in_bfloat16_are_widened() -> None:
    """Weights stored in bfloat16 are converted exactly to float32."""
    nodes = [helper.make_node("Cast", ["w"], ["f"], to=FLOAT), helper.make_node("MatMul", ["x", "f"], ["y"])]
    model = onnx.load_from_string(file_of(nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], {}))
    w = random(4, 4)
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.BFLOAT16, (4, 4), w.ravel()))
    graph = model.SerializeToString()
    x = random(9, 4, seed=1)
    assert np.array_equal(answers(to_single(graph, ROWS), x=x)[0], answers(graph, x=x)[0])


def test_a_graph_in_float32_stays_as_it_is() -> None:
    """A float32 graph stays the same, byte by byte."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    graph = file_of(nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], {})
    assert to_single(graph, ROWS) is graph


def test_a_graph_that_overflows_in_half_floats_is_refused() -> None:
    """A graph that overflows in half floats is refused."""
    # A processor moves half floats without converting them.
    nodes = [
        helper.make_node("Mul", ["a", "large"], ["product"]),
        helper.make_node("Transpose", ["product"], ["turned"]),
        helper.make_node("Transpose", ["turned"], ["back"]),
        helper.make_node("Mul", ["back", "small"], ["b"]),
    ]
    numbers = {name: np.array(value, np.float16) for name, value in (("large", 65504), ("small", 1e-4))}
    graph = halves(*nodes, **numbers)
    with pytest.raises(StepFailed, match=r"in 32-bit floats the graph, .* it overflows"):
        to_single(graph, ROWS)


def test_what_a_converter_wrote_is_widened() -> None:
    """A graph that a converter wrote in 16 bits, with casts around float32 parts, becomes float32."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("Softmax", ["h"], ["y"], "second"),
    ]
    before = file_of(nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], {"w": random(4, 4)})
    half = convert_float_to_float16(
        onnx.load_from_string(before), keep_io_types=True, node_block_list=["second"]
    )
    single = to_single(half.SerializeToString(), ROWS)
    assert types_of(onnx.load_from_string(single).graph) == {FLOAT}
