"""Weight-only quantization packs blocks as onnxruntime's own tool does."""

import numpy as np
import onnx
import pytest

from export.quantization.layers import find_layers
from export.quantization.prepare import split_gemms
from export.quantization.weight_only import make_weights
from export.training.answers import graph_answers
from tests.export.graphs import encoder_graph, prepared, texts


@pytest.mark.parametrize(("bits", "least"), [(8, 0.999), (4, 0.9)])
def test_embeddings_stay_close(bits: int, least: float) -> None:
    """With 8 bits the mean cosine is above the bound for 8, and with 4 above that for 4."""
    graph, rows = encoder_graph(), texts(16, 0)
    model = split_gemms(prepared(graph))
    names = [layer.node for layer in find_layers(model, ("MatMul",))]
    quantized = make_weights(model, names, bits).SerializeToString()
    wanted, came = (graph_answers(item, rows) for item in (graph, quantized))
    cosines = (wanted * came).sum(1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(came, axis=1)
    assert cosines.mean() > least


def test_four_bits_are_half_of_eight() -> None:
    """Weights of 4 bits take half of the bytes of 8 bits."""
    model = split_gemms(prepared(encoder_graph()))
    names = [layer.node for layer in find_layers(model, ("MatMul",))]
    sizes = [
        sum(
            len(onnx.numpy_helper.to_array(item).tobytes())
            for item in make_weights(model, names, bits).graph.initializer
            if item.name.endswith("_blocks")
        )
        for bits in (8, 4)
    ]
    assert sizes[0] == 2 * sizes[1]
