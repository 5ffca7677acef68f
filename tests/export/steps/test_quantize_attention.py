"""Quantization around attention: each setting has an effect, and outliers are levelled first."""

from typing import Any, cast

import onnx
import pytest
from onnx import TensorProto

from export.artifacts import Context, Exported
from export.errors import StepFailed
from export.step import Fuse, Quantize
from export.steps.fuse import fuse
from export.steps.quantize import quantize
from export.training.answers import graph_answers
from serve.engine.session import Session
from tests.export.graphs import (
    Builder,
    exported_of,
    mean_cosine,
    operators,
    outlying_graph,
    texts,
    value,
)

STATIC = Quantize(step="quantize", method="static")
DYNAMIC = Quantize(step="quantize", method="dynamic")
WEIGHTS = Quantize(step="quantize", method="weights")
LEVELLED: dict[str, Any] = {"smooth": 0.7, "split_outliers": True}


@pytest.fixture(scope="module")
def outlying() -> Exported:
    """A float graph of attention with channels and neurons that stand out."""
    return exported_of(outlying_graph())


def cosine(exported: Exported, made: Exported) -> float:
    """The mean over rows that no step has seen."""
    one, other = (graph_answers(item.graph, texts(64, 2)) for item in (exported, made))
    return mean_cosine(one, other)


@pytest.mark.parametrize(
    "change",
    [
        {"calibrate": "percentile", "percentile": 99.0},
        {"calibrate": "entropy"},
        {"calibrate": "error"},
        {"per_channel": False},
        {"activations": "int8"},
        {"weights": "uint8"},
        {"reduce_range": True},
        {"smooth": 0.7},
        {"split_outliers": True},
        {"keep_float": ("*intermediate*",)},
    ],
    ids=str,
)
def test_every_setting_acts_around_attention(
    outlying: Exported, of_texts: Context, change: dict[str, Any]
) -> None:
    """Each setting changes the graph of an encoder and keeps its cosine above 0.9."""
    usual = quantize(outlying, STATIC, of_texts)
    changed = quantize(outlying, STATIC.model_copy(update=change), of_texts)
    assert changed.graph != usual.graph
    assert cosine(outlying, changed) > 0.9


def test_smoothing_and_splitting_help(outlying: Exported, of_texts: Context) -> None:
    """Smoothing brings the answers closer to the float graph's, and splitting outliers even more."""
    settings = [STATIC.model_copy(update=change) for change in ({}, {"smooth": 0.7}, LEVELLED)]
    plain, smooth, both = (cosine(outlying, quantize(outlying, item, of_texts)) for item in settings)
    assert plain < smooth < both


def test_the_clip_of_a_split_neuron_is_the_end_of_the_integers(outlying: Exported, of_texts: Context) -> None:
    """The clip of a split neuron needs no operator, unless the next layer stays in float."""
    settings = STATIC.model_copy(update=LEVELLED)
    assert "Clip" not in operators(quantize(outlying, settings, of_texts).graph)
    kept = settings.model_copy(update={"keep_float": ("encoder.layer.0.output.dense",)})
    assert operators(quantize(outlying, kept, of_texts).graph)["Clip"] == 1


def test_all_settings_work_together(outlying: Exported, of_texts: Context) -> None:
    """All settings together apply in order, and the result stays close to the float graph."""
    change = {**LEVELLED, "calibrate": "error", "embeddings": True, "reduce_range": True, "faithful": 0.9}
    settings = STATIC.model_copy(update={**change, "keep_float": ("encoder.layer.1.output.dense",)})
    made = quantize(outlying, settings, of_texts)
    (note,) = made.notes
    assert (note["smoothed"], note["split_outliers"]) == (3, 2)
    assert "encoder.layer.1.output.dense" in cast(list[str], note["kept_float"])
    assert cosine(outlying, made) > 0.9


@pytest.mark.parametrize(
    "settings", [STATIC.model_copy(update=LEVELLED), DYNAMIC, WEIGHTS], ids=lambda settings: settings.method
)
def test_a_fused_graph_is_quantized_too(outlying: Exported, of_texts: Context, settings: Quantize) -> None:
    """A fused graph has the same quantized layers as an unfused one, and a session runs it."""
    fused = fuse(outlying, Fuse(step="fuse"), of_texts)
    made = quantize(fused, settings, of_texts)
    assert made.notes[-1]["quantized"] == quantize(outlying, settings, of_texts).notes[-1]["quantized"]
    assert operators(made.graph)["Attention"] == 2
    assert cosine(outlying, made) > 0.98
    assert Session(made.graph, outlying.signature, "fused").run(dict(texts(3, 4).inputs))[
        "embedding"
    ].shape == (
        3,
        16,
    )


def test_nowhere_to_smooth_is_an_error(convolutional: Exported, of_images: Context) -> None:
    """`smooth` for a graph without LayerNormalization is refused."""
    with pytest.raises(StepFailed, match="found no LayerNormalization"):
        quantize(convolutional, STATIC.model_copy(update={"smooth": 0.7}), of_images)


def test_no_gelu_is_an_error(convolutional: Exported, of_images: Context) -> None:
    """`split_outliers` without a Gelu is refused."""
    with pytest.raises(StepFailed, match="found no Gelu between two products"):
        quantize(convolutional, STATIC.model_copy(update={"split_outliers": True}), of_images)


def test_no_outliers_are_an_error(encoder: Exported, of_texts: Context) -> None:
    """`split_outliers` without outliers is refused, and the error gives the largest value."""
    with pytest.raises(StepFailed, match=r"no neuron behind 2 Gelus is far enough .+ largest value is \d"):
        quantize(encoder, STATIC.model_copy(update={"split_outliers": True}), of_texts)


def test_an_attention_that_hides_weights_is_an_error(of_texts: Context) -> None:
    """A fused attention that holds its weights is refused."""
    build = Builder()
    weights = (build.weight("attention.weight", 16, 48), build.weight("attention.bias", 48))
    shape = ("batch", "tokens", 16)
    build.nodes.append(
        onnx.helper.make_node("Attention", ["x", *weights], ["y"], "joined", "", "com.microsoft", num_heads=2)
    )
    inputs = [value("x", TensorProto.FLOAT, *shape)]
    graph = onnx.helper.make_graph(
        build.nodes, "g", inputs, [value("y", TensorProto.FLOAT, *shape)], build.weights
    )
    opsets = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    with pytest.raises(StepFailed, match="1 Attention operators of onnxruntime's, such as 'joined'"):
        quantize(exported_of(model.SerializeToString()), DYNAMIC, of_texts)
