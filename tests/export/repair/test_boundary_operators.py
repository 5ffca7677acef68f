"""Inputs and outputs are float32, whatever the graph computes in."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from tests.export.graphs import split_of
from tests.export.onnx_files import HALF, answers, file_of, random


@pytest.mark.parametrize("kind", [HALF, TensorProto.BFLOAT16], ids=["float16", "bfloat16"])
def test_half_floats_stay_inside(kind: int) -> None:
    """Half-precision inputs and outputs become float32, and the graph inside computes as before."""
    nodes = [helper.make_node("Cast", ["x"], ["a"], to=HALF), helper.make_node("MatMul", ["a", "w"], ["b"])]
    nodes.append(helper.make_node("Cast", ["b"], ["y"], to=kind))
    w = random(4, 3).astype(np.float16)
    content = file_of(nodes, [("x", kind, ["n", 4])], [("y", kind, ["n", 3])], {"w": w})
    exported = from_onnx(content, split_of({"x": random(20, 4)}), ("y",))
    assert {spec.datatype for spec in (*exported.signature.inputs, *exported.signature.outputs)} == {"FP32"}
    x = random(5, 4, seed=1)
    np.testing.assert_allclose(answers(exported.graph, x=x)[0], x @ w, rtol=0.05, atol=0.05)
    assert len(exported.notes[0]["changes"]) == 2  # type: ignore[arg-type]


def test_an_output_that_others_read_keeps_its_readers() -> None:
    """An output that other nodes read is converted without a change to what they read."""
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["z"])]
    content = file_of(nodes, [("x", HALF, ["n", 4])], [("y", HALF, ["n", 4]), ("z", HALF, ["n", 4])], {})
    exported = from_onnx(content, split_of({"x": random(20, 4)}), ("z", "y"))
    x = random(5, 4, seed=1).astype(np.float16).astype(np.float32)
    z, y = answers(exported.graph, x=x)
    assert np.array_equal(z, x)
    assert np.array_equal(y, -x)


def test_names_that_are_taken_are_left_alone() -> None:
    """The inner value gets another name if the usual one is taken."""
    nodes = [helper.make_node("Add", ["x", "x_inside"], ["y"])]
    content = file_of(
        nodes, [("x", HALF, ["n", 4])], [("y", HALF, ["n", 4])], {"x_inside": np.ones(4, np.float16)}
    )
    exported = from_onnx(content, split_of({"x": random(20, 4)}), ("y",))
    assert np.array_equal(answers(exported.graph, x=np.zeros((2, 4), np.float32))[0], np.ones((2, 4)))


def test_what_a_processor_cannot_compute_has_its_fix() -> None:
    """The error for an operator that onnxruntime lacks in float64 names the node and the fix."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "filter")]
    kind = TensorProto.DOUBLE
    weights = {"w": np.ones((1, 1, 2))}
    content = file_of(nodes, [("x", kind, ["n", 1, 4])], [("y", kind, ["n", 1, 3])], weights)
    with pytest.raises(ExportFailed, match=r"Conv.*'filter'; .* float64: convert the model in float32"):
        from_onnx(content, split_of({"x": np.random.default_rng(0).normal(size=(20, 1, 4))}), ("y",))


def test_an_input_of_half_floats_is_given_out_as_it_came() -> None:
    """An input of half floats that is also an output is returned unchanged, rows first."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    shape = [2, "batch", 4]
    outputs = [("y", HALF, [2, "batch", 3]), ("x", HALF, shape)]
    content = file_of(nodes, [("x", HALF, shape)], outputs, {"w": random(4, 3).astype(np.float16)})
    exported = from_onnx(content, split_of({"x": random(20, 2, 4)}), ("y", "x"))
    x = random(5, 2, 4, seed=1)
    assert np.array_equal(answers(exported.graph, x=x)[1], x)
