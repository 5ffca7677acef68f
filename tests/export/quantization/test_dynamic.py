"""Dynamic quantization stores integers and answers nearly the same."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from export.quantization.dynamic import make_dynamic
from export.quantization.layers import find_layers
from export.quantization.prepare import split_gemms
from export.step import Quantize
from export.training.answers import graph_answers
from tests.export.graphs import Builder, encoder_graph, lstm_graph, prepared, split_of, texts, value

DYNAMIC = Quantize(step="quantize", method="dynamic")


def dynamic(graph: bytes, settings: Quantize = DYNAMIC) -> bytes:
    """The graph with all its layers dynamic."""
    model = split_gemms(prepared(graph))
    names = [layer.node for layer in find_layers(model, ("MatMul", "LSTM"))]
    return bytes(make_dynamic(model, names, settings).SerializeToString())


@pytest.mark.parametrize(
    "change",
    [{}, {"weights": "uint8"}, {"reduce_range": True}, {"per_channel": False}],
    ids=str,
)
def test_embeddings_stay_close(change: dict[str, object]) -> None:
    """Under each setting the quantized encoder's embeddings have a cosine above 0.99 to the float ones."""
    graph, rows = encoder_graph(), texts(16, 0)
    settings = DYNAMIC.model_copy(update=change)
    wanted, came = (graph_answers(item, rows) for item in (graph, dynamic(graph, settings)))
    cosines = (wanted * came).sum(1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(came, axis=1)
    assert cosines.min() > 0.99


def test_a_recurrent_network_stays_close() -> None:
    """A dynamic LSTM uses integers, and its answers stay within 0.05."""
    graph = lstm_graph()
    steps = np.random.default_rng(0).normal(0, 1, (16, 5, 6)).astype(np.float32)
    rows = split_of({"steps": steps})
    quantized = dynamic(graph)
    assert "DynamicQuantizeLSTM" in {node.op_type for node in onnx.load_from_string(quantized).graph.node}
    np.testing.assert_allclose(graph_answers(quantized, rows), graph_answers(graph, rows), atol=0.05)


def test_query_key_and_value_share_their_input() -> None:
    """Query, key and value share one quantized input: two layers of six products have eight."""
    nodes = [node.op_type for node in onnx.load_from_string(dynamic(encoder_graph())).graph.node]
    assert nodes.count("MatMulIntegerToFloat") == 12
    assert nodes.count("QuantizeLinear") == 8


@pytest.mark.parametrize("neighbour", [1e6, np.nan, -np.inf])
def test_a_row_is_answered_alike_whatever_stands_beside_it(neighbour: float) -> None:
    """A row's answer does not depend on a huge value or NaN in another row."""
    build = Builder()
    hidden = build.add("Relu", build.add("MatMul", "row", build.weight("one", 6, 8)))
    build.add("MatMul", hidden, build.weight("two", 8, 3), output="scores")
    graph = build.finish(
        [value("row", TensorProto.FLOAT, "batch", 6)], [value("scores", TensorProto.FLOAT, "batch", 3)]
    )
    rows = np.random.default_rng(0).normal(0, 1, (4, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(dynamic(graph))
    [wanted] = session.run(None, {"row": rows})
    rows[1] = neighbour
    [came] = session.run(None, {"row": rows})
    assert np.array_equal(came[[0, 2, 3]], wanted[[0, 2, 3]])
