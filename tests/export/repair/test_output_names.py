"""The recipe defines the outputs, their names and their order."""

import numpy as np
import pytest
from onnx import helper

from export.artifacts import Exported
from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, answers, file_of, random

ROWS = split_of({"x": random(20, 4)})
W = random(4, 3)


def keras() -> bytes:
    """Two outputs with names that no client wants to write, and an inner value called `scores`."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("Identity", ["scores"], ["StatefulPartitionedCall:0"]),
        helper.make_node("Softmax", ["scores"], ["StatefulPartitionedCall:1"]),
    ]
    outputs = [(f"StatefulPartitionedCall:{number}", FLOAT, ["n", 3]) for number in range(2)]
    return file_of(nodes, [("x", FLOAT, ["n", 4])], list(outputs), {"w": W})


def names_of(exported: Exported) -> list[str]:
    """Return the names of the inputs."""
    return [spec.name for spec in exported.signature.inputs]


def test_outputs_are_renamed_in_the_order_of_the_recipe() -> None:
    """Outputs get the recipe's names and order, even names that the graph has inside."""
    wanted = {"shares": "StatefulPartitionedCall:1", "scores": "StatefulPartitionedCall:0"}
    exported = from_onnx(keras(), ROWS, wanted)
    assert exported.signature.output_names == ("shares", "scores")
    x = random(5, 4, seed=1)
    shares, scores = answers(exported.graph, x=x)
    np.testing.assert_allclose(scores, x @ W, rtol=1e-5)
    np.testing.assert_allclose(shares, np.exp(scores) / np.exp(scores).sum(1, keepdims=True), rtol=1e-5)


def test_two_outputs_may_swap_their_names() -> None:
    """Two outputs may swap their names."""
    first, second = (f"StatefulPartitionedCall:{number}" for number in range(2))
    exported = from_onnx(keras(), ROWS, {second: first, first: second})
    x = random(5, 4, seed=1)
    np.testing.assert_allclose(answers(exported.graph, x=x)[0], x @ W, rtol=1e-5)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"scores": "StatefulPartitionedCall"}, "no output 'StatefulPartitionedCall'; did you mean"),
        ({"x": "StatefulPartitionedCall:0"}, "the output 'x' has the name of an input; choose another"),
    ],
    ids=["unknown", "an input's"],
)
def test_a_name_that_cannot_be_is_refused(wanted: dict[str, str], message: str) -> None:
    """An output name that cannot be used is refused with the fix."""
    with pytest.raises(ExportFailed, match=message):
        from_onnx(keras(), ROWS, wanted)


def test_an_input_is_given_out_under_another_name() -> None:
    """An input that is also an output keeps its name as an input."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    content = file_of(
        nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3]), ("x", FLOAT, ["n", 4])], {"w": W}
    )
    exported = from_onnx(content, ROWS, {"scores": "y", "again": "x"})
    assert names_of(exported) == ["x"]
    x = random(5, 4, seed=1)
    for came, wanted in zip(answers(exported.graph, x=x), (x @ W, x), strict=True):
        np.testing.assert_allclose(came, wanted, rtol=1e-5)


def test_an_input_that_no_output_reads_is_taken_if_the_data_has_it() -> None:
    """An input that no output reads is kept if the data has it, and dropped otherwise."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    inputs = [("x", FLOAT, ["n", 4]), ("unused", FLOAT, ["n", 2])]
    content = file_of(nodes, inputs, [("y", FLOAT, ["n", 3])], {"w": W})
    both = from_onnx(content, split_of({"x": random(20, 4), "unused": random(20, 2)}), ("y",))
    assert names_of(both) == ["x", "unused"]
    assert "no output depends on it" in str(both.notes)
    assert names_of(from_onnx(content, ROWS, ("y",))) == ["x"]
