"""Sensitivity ranks blocks by their divergence and keeps as few in float as necessary."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export.artifacts import Context, Exported
from export.errors import StepFailed
from export.proof.graph_cost import count_by_node
from export.quantization.layers import find_layers
from export.step import Quantize
from export.steps.quantize import quantize
from export.training.answers import graph_answers
from tests.export.graphs import context_for, conv_graph, encoder_graph, exported_of, images, prepared, texts

COARSE = Quantize(step="quantize", method="dynamic", per_channel=False)
SPOILT = "encoder.layer.1.intermediate.dense"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """What a step on the encoder is given."""
    return context_for("embedding", texts(24, 0), texts(48, 1), tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def spoilt() -> Exported:
    """The encoder, with one linear layer in which a single weight sets the scale for all others."""
    graph = encoder_graph()
    model = onnx.load_from_string(graph)
    layer = next(item for item in find_layers(prepared(graph), ("MatMul",)) if item.path == SPOILT)
    weight = next(item for item in model.graph.initializer if item.name == layer.weights[0])
    array = onnx.numpy_helper.to_array(weight).copy()
    array[0, 0] = 40
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    return exported_of(model.SerializeToString())


def faithful(exported: Exported, least: float, context: Context) -> tuple[Exported, dict[str, Any]]:
    """Return the graph quantized with `faithful`, and its note."""
    made = quantize(exported, COARSE.model_copy(update={"faithful": least}), context)
    return made, dict(made.notes[-1])


def cosine(exported: Exported, made: Exported, context: Context) -> float:
    """The mean over the search split."""
    one, other = (graph_answers(item.graph, context.data.search) for item in (exported, made))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.mean((one * other).sum(1) / lengths))


def test_the_spoilt_layer_is_found(spoilt: Exported, context: Context) -> None:
    """The first block of the ranking is the one with the spoilt weights."""
    _, note = faithful(spoilt, 0.9, context)
    assert note["sensitivity"][0]["block"] == SPOILT
    assert note["sensitivity"][0]["divergence"] > 0


def test_leaving_it_in_float_is_enough(spoilt: Exported, context: Context) -> None:
    """If the demand is slightly higher, only the spoilt block stays in float."""
    all_integers = cosine(spoilt, quantize(spoilt, COARSE, context), context)
    made, note = faithful(spoilt, all_integers + 1e-4, context)
    assert note["kept_float"] == [SPOILT]
    assert note["likeness"] == pytest.approx(cosine(spoilt, made, context))
    assert note["likeness"] >= all_integers + 1e-4


def test_nothing_stays_in_float_without_need(spoilt: Exported, context: Context) -> None:
    """If all integers meet the demand, no block stays in float."""
    _, note = faithful(spoilt, 0.5, context)
    assert note["kept_float"] == []


def test_what_cannot_be_had_is_an_error(spoilt: Exported, context: Context) -> None:
    """A demand that cannot be met is refused with the blocks that were kept."""
    with pytest.raises(StepFailed, match="cannot be reached: with 11 of 12 blocks in float"):
        faithful(spoilt, 0.9999999999, context)


def test_classes_are_compared_by_agreement(tmp_path: Path) -> None:
    """For classes the blocks are ranked by agreement."""
    context = context_for("classification", images(32, 0), images(64, 1), tmp_path)
    settings = Quantize(step="quantize", method="static", faithful=0.9)
    (note,) = quantize(exported_of(conv_graph()), settings, context).notes
    ranked: Any = note["sensitivity"]
    assert sorted(entry["block"] for entry in ranked) == ["features.0", "features.1", "head"]
    likeness: Any = note["likeness"]
    assert 0.9 <= likeness <= 1


def test_multiply_adds_are_those_of_one_row() -> None:
    """The multiply-adds count each of 8x8 positions of a convolution, and the head once."""
    model = prepared(conv_graph())
    counts = count_by_node(model, images(1, 0).inputs)
    assert [counts[layer.node] for layer in find_layers(model, ("Conv", "Gemm"))] == [
        64 * 16 * 9,
        64 * 16 * 16 * 9,
        16 * 4,
    ]


def test_the_same_blocks_every_time(spoilt: Exported, context: Context) -> None:
    """Two runs keep the same blocks and give the same graph."""
    assert faithful(spoilt, 0.99, context)[0].graph == faithful(spoilt, 0.99, context)[0].graph
