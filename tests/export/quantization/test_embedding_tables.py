"""Tables of embeddings keep a scale per row."""

import numpy as np
import onnx

from export.quantization.embedding_tables import make_tables
from export.quantization.layers import find_layers
from export.training.answers import graph_answers
from tests.export.graphs import encoder_graph, prepared, texts


def scaled_graph() -> bytes:
    """The encoder with one word whose row is a hundred times as large as the others."""
    model = onnx.load_from_string(encoder_graph(1))
    table = next(item for item in model.graph.initializer if item.name == "embeddings.word.weight")
    rows = onnx.numpy_helper.to_array(table).copy()
    rows[0] *= 100
    table.CopyFrom(onnx.numpy_helper.from_array(rows, table.name))
    return bytes(model.SerializeToString())


def test_a_large_row_costs_the_others_nothing() -> None:
    """One large row of a table does not affect the precision of the others."""
    graph, rows = scaled_graph(), texts(16, 0)
    model = prepared(graph)
    quantized = make_tables(model, [layer.node for layer in find_layers(model, ("Gather",))])
    wanted, came = (graph_answers(item, rows) for item in (graph, quantized.SerializeToString()))
    assert "embeddings.word.weight" not in {item.name for item in quantized.graph.initializer}
    np.testing.assert_allclose(came, wanted, atol=0.05 * np.abs(wanted).max())
