"""A graph that answers one row at a time answers a batch in a loop, each row as the file does."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, INT64, answers, file_of, random

W = random(3, 4)


def _over_the_rows() -> tuple[list[Any], list[Any]]:
    """A Softmax over a batch of one, whose answers are all 1."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Softmax", ["h"], ["s"], axis=0),
        helper.make_node("Add", ["s", "h"], ["y"]),
    ]
    return nodes, [("x", FLOAT, [1, 3])]


def test_a_batch_of_one_that_is_really_fixed_becomes_a_loop() -> None:
    """Each of seven rows is answered as it is alone, and the note says that the graph stays as it is."""
    nodes, inputs = _over_the_rows()
    content = file_of(nodes, inputs, [("y", FLOAT, [1, 4])], {"w": W})
    exported = from_onnx(content, split_of({"x": random(20, 3)}), ("y",))
    x = random(7, 3, seed=1)
    np.testing.assert_allclose(answers(exported.graph, x=x)[0], 1 + x @ W, rtol=1e-5, atol=1e-6)
    assert exported.signature.outputs[0].shape == ("batch", 4)
    assert "one row at a time" in str(exported.notes[0])


def test_an_input_without_rows_has_a_value_for_each_row() -> None:
    """One number for all rows, such as a sampling rate, may differ from row to row."""
    nodes = [
        helper.make_node("Cast", ["rate"], ["r"], to=FLOAT),
        helper.make_node("Mul", ["x", "r"], ["y"]),
    ]
    content = file_of(nodes, [("x", FLOAT, ["n", 3]), ("rate", INT64, [])], [("y", FLOAT, ["n", 3])], {})
    rates = np.arange(20)
    exported = from_onnx(content, split_of({"x": random(20, 3), "rate": rates}), ("y",))
    x = random(5, 3, seed=1)
    [y] = answers(exported.graph, x=x, rate=rates[:5])
    np.testing.assert_allclose(y, x * rates[:5, None], rtol=1e-6)


def test_a_graph_without_a_batch_answers_many_rows() -> None:
    """A file whose inputs have no dimension for rows gets one."""
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    content = file_of(nodes, [("x", FLOAT, [4, 3])], [("y", FLOAT, [])], {})
    exported = from_onnx(content, split_of({"x": random(20, 4, 3)}), ("y",))
    x = random(5, 4, 3, seed=1)
    np.testing.assert_allclose(answers(exported.graph, x=x)[0], x.sum((1, 2)), rtol=1e-5, atol=1e-6)
    assert exported.signature.outputs[0].shape == ("batch",)


def test_a_state_whose_rows_are_not_first_comes_back_with_them_first() -> None:
    """A state [2, rows, 3] of a graph that takes one row is [rows, 2, 3] outside."""
    nodes = [
        helper.make_node("Softmax", ["h"], ["s"], axis=1),
        helper.make_node("Add", ["h", "s"], ["hn"]),
    ]
    content = file_of(nodes, [("h", FLOAT, [2, 1, 3])], [("hn", FLOAT, [2, 1, 3])], {})
    exported = from_onnx(content, split_of({"h": random(20, 2, 3)}), ("hn",))
    h = random(5, 2, 3, seed=1)
    np.testing.assert_allclose(answers(exported.graph, h=h)[0], h + 1, rtol=1e-5, atol=1e-6)


def test_rows_of_a_dynamically_quantized_graph_do_not_share_a_range() -> None:
    """A row beside one that is 1,000 times as large gets the answer that it gets alone."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    content = file_of(nodes, [("x", FLOAT, ["n", 3])], [("y", FLOAT, ["n", 4])], {"w": W})
    exported = from_onnx(content, split_of({"x": random(20, 3)}), ("y",))
    x = random(2, 3, seed=1) * np.array([[1], [1000]], np.float32)
    [alone] = answers(content, x=x[:1])
    [together] = answers(exported.graph, x=x)
    np.testing.assert_array_equal(together[:1], alone)
    assert "one range for all rows" in str(exported.notes[0])


def test_the_weights_stay_outside_the_loop() -> None:
    """The graph has one node, a Scan, and its weights can be counted and shared."""
    nodes, inputs = _over_the_rows()
    content = file_of(nodes, inputs, [("y", FLOAT, [1, 4])], {"w": W})
    graph = onnx.load_from_string(from_onnx(content, split_of({"x": random(20, 3)}), ("y",)).graph).graph
    assert [node.op_type for node in graph.node] == ["Scan"]
    assert "w" in {item.name for item in graph.initializer}


def test_an_output_with_another_size_for_each_row_is_refused() -> None:
    """No batch has one shape if a row has two answers and the next one has three."""
    nodes = [helper.make_node("NonZero", ["x"], ["y"])]
    content = file_of(nodes, [("x", FLOAT, [1, 3])], [("y", INT64, [2, "found"])], {})
    rows = split_of({"x": np.maximum(random(20, 3), 0)})
    with pytest.raises(ExportFailed, match="'y' has another size for each"):
        from_onnx(content, rows, ("y",))
