"""Smoothing evens out channels and keeps the float graph's answers."""

import numpy as np
import onnx
import pytest

from export.quantization.calibration import find_extents
from export.quantization.prepare import split_gemms
from export.rewrites.smoothing import find_smoothable, smooth
from export.training.answers import graph_answers
from tests.export.graphs import conv_graph, outlying_graph, prepared, texts

ROWS = texts(32, 0)


@pytest.mark.parametrize("strength", [0.5, 0.9])
def test_the_answers_are_the_same(strength: float) -> None:
    """Smoothing changes three of four norms, and the answers stay the same."""
    model = split_gemms(prepared(outlying_graph()))
    names = find_smoothable(model)
    assert smooth(model, find_extents(model, names, ROWS), strength) == 3
    came, wanted = (graph_answers(graph, ROWS) for graph in (model.SerializeToString(), outlying_graph()))
    np.testing.assert_allclose(came, wanted, atol=1e-5 * np.abs(wanted).max())


def test_channels_come_closer() -> None:
    """Smoothing more than halves the ratio of the widest channel to the median, and centres the channels."""
    model = split_gemms(prepared(outlying_graph()))
    names = find_smoothable(model)
    before = find_extents(model, names, ROWS)
    smooth(model, before, 0.9)
    after = find_extents(model, names, ROWS)
    for name in names:
        wide, even = (high - low for low, high in (before[name], after[name]))
        assert wide.max() / np.median(wide) > 2 * even.max() / np.median(even)
        low, high = after[name]
        np.testing.assert_allclose(low, -high, atol=1e-4)


def test_a_layer_without_bias_is_scaled_alone() -> None:
    """A layer without a bias is scaled and not centred."""
    model = split_gemms(prepared(outlying_graph()))
    query = next(node for node in model.graph.node if "query.bias" in "".join(node.input))
    reshaped = next(node for node in model.graph.node if query.output[0] in node.input)
    reshaped.input[0] = next(name for name in query.input if "bias" not in name)
    model.graph.node.remove(query)
    wanted = graph_answers(model.SerializeToString(), ROWS)
    assert smooth(model, find_extents(model, find_smoothable(model), ROWS), 0.7) == 3
    came = graph_answers(model.SerializeToString(), ROWS)
    np.testing.assert_allclose(came, wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_weight_that_two_share_is_not_spoilt() -> None:
    """If query and key share a weight, each gets its own copy, and the answers stay the same."""
    model = onnx.load_from_string(outlying_graph())
    query, key = [node for node in model.graph.node if node.op_type == "MatMul"][:2]
    key.input[1] = query.input[1]
    wanted = graph_answers(model.SerializeToString(), ROWS)
    smooth(model, find_extents(model, find_smoothable(model), ROWS), 0.7)
    came = graph_answers(model.SerializeToString(), ROWS)
    np.testing.assert_allclose(came, wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_graph_without_norms_has_no_place() -> None:
    """A graph of convolutions has no values to smooth."""
    assert find_smoothable(split_gemms(prepared(conv_graph()))) == ()
