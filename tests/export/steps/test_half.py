"""The step half stores 16-bit floats, keeps 32-bit inputs and outputs, and refuses values that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.artifacts import Context, Exported
from export.errors import StepFailed
from export.rewrites.rewrite_check import compare, largest_difference, require_same_interface
from export.step import Half, Quantize
from export.steps.half import half
from export.steps.quantize import quantize
from tests.export.graphs import (
    Builder,
    context_for,
    conv_graph,
    encoder_graph,
    exported_of,
    images,
    split_of,
    texts,
    value,
)
from tests.export.onnx_files import answers, file_of, random

HALF = Half(step="half", provider="cuda")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """What a step on the encoder is given."""
    return context_for("embedding", texts(24, 0), texts(24, 1), tmp_path)


def test_weights_have_16_bits(context: Context) -> None:
    """Each matrix is stored in float16, and the note has the provider."""
    made = half(exported_of(encoder_graph()), HALF, context)
    kinds = {
        item.name: item.data_type
        for item in onnx.load_from_string(made.graph).graph.initializer
        if len(item.dims) == 2
    }
    assert set(kinds.values()) == {TensorProto.FLOAT16}
    assert made.notes[0]["provider"] == "cuda"


def test_the_wire_stays_as_it_was(context: Context) -> None:
    """The converted graph has the same inputs and outputs."""
    before = encoder_graph()
    after = half(exported_of(before), HALF, context).graph
    require_same_interface(onnx.load_from_string(before), onnx.load_from_string(after))


def test_float_inputs_are_cast_inside(tmp_path: Path) -> None:
    """A float32 image is cast at the start of the graph."""
    context = context_for("classification", images(24, 0), images(24, 1), tmp_path)
    graph = onnx.load_from_string(half(exported_of(conv_graph()), HALF, context).graph).graph
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert graph.node[0].op_type == "Cast"


def test_answers_are_close(context: Context) -> None:
    """The answers in half floats are within 1 % of the largest one."""
    before = encoder_graph()
    pairs = compare(before, half(exported_of(before), HALF, context).graph, texts(24, 2))
    assert largest_difference(pairs) < 0.01 * max(np.abs(old).max() for old, _ in pairs)


def scaled_graph(scale: float) -> bytes:
    """An image times a constant, and back."""
    build = Builder()
    build.constant("up", np.float32(scale))
    build.constant("down", np.float32(1 / scale))
    build.add("Mul", build.add("Mul", build.add("Mul", "image", "up"), "up"), "down", output="y")
    shape = ("batch", 1, 8, 8)
    return build.finish([value("image", TensorProto.FLOAT, *shape)], [value("y", TensorProto.FLOAT, *shape)])


def test_an_overflow_is_an_error(tmp_path: Path) -> None:
    """A graph that exceeds 65504 in half floats is refused."""
    context = context_for("classification", images(24, 0), images(24, 1), tmp_path)
    with pytest.raises(StepFailed, match="65504"):
        half(exported_of(scaled_graph(3000)), HALF, context)


def test_a_graph_without_weights_is_an_error(tmp_path: Path) -> None:
    """A graph without weights to convert is refused."""
    build = Builder()
    build.add("Sigmoid", "image", output="y")
    shape = ("batch", 1, 8, 8)
    graph = build.finish([value("image", TensorProto.FLOAT, *shape)], [value("y", TensorProto.FLOAT, *shape)])
    context = context_for("classification", images(24, 0), images(24, 1), tmp_path)
    with pytest.raises(StepFailed, match="half changed no weight"):
        half(exported_of(graph), HALF, context)


def test_weights_of_branches_have_16_bits(tmp_path: Path) -> None:
    """Weights in two branches become half floats, even if they share a name."""
    rows = split_of({"x": random(40, 4)})
    context = context_for("embedding", rows, rows, tmp_path)

    def branch(weight: Any) -> Any:
        nodes, end = [helper.make_node("MatMul", ["x", "w"], ["z"])], value("z", TensorProto.FLOAT, "n", 3)
        return helper.make_graph(nodes, "branch", [], [end], [numpy_helper.from_array(weight, "w")])

    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "two"], ["above"]),
        helper.make_node(
            "If", ["above"], ["y"], then_branch=branch(random(4, 3)), else_branch=branch(random(4, 3, seed=1))
        ),
    ]
    two = {"two": np.float32(2)}
    graph = file_of(nodes, [("x", TensorProto.FLOAT, ["n", 4])], [("y", TensorProto.FLOAT, ["n", 3])], two)
    made = half(exported_of(graph), HALF, context)
    assert made.notes[0]["half_weights"] == 2 * 12 + 1
    for factor in (0.1, 10):
        x = factor * random(5, 4, seed=2)
        wanted = x @ random(4, 3, seed=int(x.max() <= 2))
        np.testing.assert_allclose(answers(made.graph, x=x)[0], wanted, rtol=0.02, atol=0.02 * factor)


def test_a_graph_of_integers_has_nothing_to_convert(convolutional: Exported, of_images: Context) -> None:
    """A quantized graph is refused, as its scales stay in float32."""
    quantized = quantize(convolutional, Quantize(step="quantize", method="static"), of_images)
    with pytest.raises(StepFailed, match="half changed no weight"):
        half(quantized, HALF, of_images)


def test_a_product_behind_a_transpose_of_rows_ends_no_process(tmp_path: Path) -> None:
    """A product after a transpose of the rows loads in half floats, as the step separates the two."""
    build = Builder()
    turned = build.add("Transpose", "x", perm=[1, 0, 2])
    scores = build.add("MatMul", turned, build.weight("w", 6, 4))
    build.add("Transpose", scores, output="y", perm=[1, 0, 2])
    given = [value("x", TensorProto.FLOAT, "batch", 5, 6)]
    graph = build.finish(given, [value("y", TensorProto.FLOAT, "batch", 5, 4)])
    rows = split_of({"x": random(24, 5, 6)})
    made = half(exported_of(graph), HALF, context_for("embedding", rows, rows, tmp_path)).graph
    assert [node.op_type for node in onnx.load_from_string(made).graph.node if node.op_type != "Cast"] == [
        "Transpose",
        "Sum",
        "MatMul",
        "Transpose",
    ]
    assert largest_difference(compare(graph, made, rows)) < 0.01
