"""Attention written as separate operators becomes one operator."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from export.rewrites.attention import fuse_attention
from export.training.answers import graph_answers
from tests.export.graphs import conv_graph, encoder_graph, operators, texts, value


def fused(graph: bytes) -> tuple[bytes, int]:
    """The graph, and how many attentions were found."""
    model, count = fuse_attention(onnx.load_from_string(graph))
    return bytes(model.SerializeToString()), count


def test_every_layer_has_one() -> None:
    """Each of two layers has one Attention operator, and the mask is expanded once."""
    graph, count = fused(encoder_graph())
    found = operators(graph)
    assert (count, found["Attention"], found["Expand"]) == (2, 2, 1)
    assert not {"Softmax", "Transpose", "Reshape"} & found.keys()


@pytest.mark.parametrize("rows", [1, 8])
def test_the_answers_are_the_same(rows: int) -> None:
    """The fused graph gives the same answers, with and without padding."""
    split = texts(rows, 0)
    came, wanted = (graph_answers(graph, split) for graph in (fused(encoder_graph())[0], encoder_graph()))
    np.testing.assert_allclose(came, wanted, atol=1e-5)


def test_the_interface_stays() -> None:
    """The fused graph has the same inputs and outputs and opset 23."""
    before, after = onnx.load_from_string(encoder_graph()), onnx.load_from_string(fused(encoder_graph())[0])
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    assert next(item.version for item in after.opset_import if item.domain == "") == 23


def test_scores_that_are_read_elsewhere_stay() -> None:
    """A layer whose shares are an output keeps its operators."""
    model = onnx.load_from_string(encoder_graph())
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    shares = onnx.helper.make_tensor_value_info(softmax.output[0], onnx.TensorProto.FLOAT, [None] * 4)
    model.graph.output.append(shares)
    assert fused(model.SerializeToString())[1] == 1


def test_other_graphs_stay() -> None:
    """A graph without attention is unchanged, including its opset."""
    model = onnx.load_from_string(conv_graph())
    assert fuse_attention(model) == (model, 0)
    assert model.SerializeToString() == onnx.load_from_string(conv_graph()).SerializeToString()


def test_what_is_added_has_names_of_its_own() -> None:
    """The added nodes get names that the graph does not have."""
    model = onnx.load_from_string(encoder_graph())
    mask = next(node.output[0] for node in model.graph.node if node.op_type == "Mul")
    for ending in ("one", "queries", "shape", "for_attention"):
        model.graph.node.append(onnx.helper.make_node("Identity", ["attention_mask"], [f"{mask}_{ending}"]))
        model.graph.node[-1].name = f"{mask}_{ending}"
        model.graph.output.append(value(f"{mask}_{ending}", TensorProto.INT64, "batch", "tokens"))
    graph, count = fused(model.SerializeToString())
    assert count == 2
    np.testing.assert_allclose(
        graph_answers(graph, texts(8, 0)), graph_answers(encoder_graph(), texts(8, 0)), atol=1e-5
    )
