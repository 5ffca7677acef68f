"""Layers are known by the names that people gave them in torch."""

import pytest

from export.quantization.layers import find_layers, group
from export.quantization.prepare import split_gemms
from tests.export.graphs import conv_graph, encoder_graph, prepared


def test_a_linear_layer_is_named_by_its_bias() -> None:
    """A linear layer is named after its module, although the exporter renames its weight."""
    layers = find_layers(prepared(encoder_graph(1)), ("MatMul",))
    assert [layer.path for layer in layers] == [
        "encoder.layer.0.attention.self.query",
        "encoder.layer.0.attention.self.key",
        "encoder.layer.0.attention.self.value",
        "encoder.layer.0.attention.output.dense",
        "encoder.layer.0.intermediate.dense",
        "encoder.layer.0.output.dense",
    ]


def test_a_convolution_is_named_by_its_weight() -> None:
    """Convolutions and linear layers are named after their weights."""
    layers = find_layers(prepared(conv_graph()), ("Conv", "Gemm"))
    assert [layer.path for layer in layers] == ["features.0", "features.1", "head"]


def test_a_table_is_found_by_its_rows() -> None:
    """A table is found by its number of rows, and lookups in shapes are not."""
    (table,) = find_layers(prepared(encoder_graph(1)), ("Gather",))
    assert (table.path, table.weights) == ("embeddings.word", ("embeddings.word.weight",))


@pytest.mark.parametrize(
    ("most", "blocks"),
    [
        (24, 12),
        (11, 8),
        (7, 4),
        (1, 1),
    ],
)
def test_siblings_share_a_block_when_there_are_too_many(most: int, blocks: int) -> None:
    """If there are too many blocks, siblings are merged level by level, up to the whole stack."""
    layers = find_layers(prepared(encoder_graph(2)), ("MatMul",))
    assert len(group(layers, most)) == blocks


def test_a_split_gemm_answers_the_same_under_the_same_name() -> None:
    """A split Gemm keeps the name of its layer."""
    (layer,) = find_layers(split_gemms(prepared(conv_graph())), ("MatMul",))
    assert layer.path == "head"
