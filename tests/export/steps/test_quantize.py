"""Quantization turns weights into integers, each setting has an effect, and doing nothing is an error."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from export.artifacts import Context, Exported
from export.errors import StepFailed
from export.proof.graph_stats import describe_graph
from export.step import Quantize
from export.steps.quantize import quantize
from export.training.answers import graph_answers
from serve.bundles.onnx_graph import Graph
from tests.export.graphs import (
    Builder,
    context_for,
    exported_of,
    mean_cosine,
    operators,
    split_of,
    texts,
    value,
)
from tests.export.onnx_files import answers

STATIC = Quantize(step="quantize", method="static")
DYNAMIC = Quantize(step="quantize", method="dynamic")
WEIGHTS = Quantize(step="quantize", method="weights")


def constants(graph: Graph) -> dict[str, Any]:
    """The initializers by name."""
    return {item.name: item for item in onnx.load_from_string(graph).graph.initializer}


def test_weights_are_integers(convolutional: Exported, of_images: Context) -> None:
    """Each layer has int8 weights with a scale per channel."""
    found = constants(quantize(convolutional, STATIC, of_images).graph)
    weights = [item for name, item in found.items() if name.endswith("weight_quantized")]
    assert [item.data_type for item in weights] == [TensorProto.INT8] * 3
    assert list(found["features.1.weight_scale"].dims) == [16]


def test_activations_stay_integers_between_layers(convolutional: Exported, of_images: Context) -> None:
    """A quantized convolutional graph has no Relu in float."""
    assert "Relu" not in operators(quantize(convolutional, STATIC, of_images).graph)


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
        {"keep_float": ("features.0",)},
    ],
    ids=str,
)
def test_every_setting_acts(convolutional: Exported, of_images: Context, change: dict[str, Any]) -> None:
    """Each setting of static quantization changes the graph."""
    usual = quantize(convolutional, STATIC, of_images)
    assert quantize(convolutional, STATIC.model_copy(update=change), of_images).graph != usual.graph


@pytest.mark.parametrize("settings", [STATIC, DYNAMIC, WEIGHTS], ids=lambda settings: settings.method)
def test_the_same_bytes_every_time(encoder: Exported, of_texts: Context, settings: Quantize) -> None:
    """Two runs of each method give the same graph."""
    first, second = (quantize(encoder, settings, of_texts).graph for _ in range(2))
    assert first == second


@pytest.mark.parametrize("settings", [STATIC, DYNAMIC, WEIGHTS], ids=lambda settings: settings.method)
def test_the_encoder_answers_nearly_the_same(
    encoder: Exported, of_texts: Context, settings: Quantize
) -> None:
    """Each method keeps the encoder's cosine above 0.99 on new rows."""
    rows = texts(32, 2)
    came = graph_answers(quantize(encoder, settings, of_texts).graph, rows)
    wanted = graph_answers(encoder.graph, rows)
    assert mean_cosine(wanted, came) > 0.99


def test_attention_stays_in_float(encoder: Exported, of_texts: Context) -> None:
    """In a static encoder only the inputs of the 12 linear layers are quantized."""
    found = operators(quantize(encoder, STATIC, of_texts).graph)
    assert (found["QuantizeLinear"], found["MatMulIntegerToFloat"], found["MatMul"]) == (8, 12, 5)
    assert "DequantizeLinear" not in found


def test_convolutions_are_never_dynamic(convolutional: Exported, of_images: Context) -> None:
    """Dynamic quantization changes the linear layer and no convolution."""
    found = operators(quantize(convolutional, DYNAMIC, of_images).graph)
    assert (found["Conv"], found["MatMulIntegerToFloat"]) == (2, 1)


@pytest.mark.parametrize("settings", [DYNAMIC, WEIGHTS], ids=lambda settings: settings.method)
def test_embeddings_become_integers_when_asked(
    encoder: Exported, of_texts: Context, settings: Quantize
) -> None:
    """With `embeddings: true` the table is stored as int8."""
    asked = settings.model_copy(update={"embeddings": True})
    name = "embeddings.word.weight"
    assert name in constants(quantize(encoder, settings, of_texts).graph)
    found = constants(quantize(encoder, asked, of_texts).graph)
    assert found[f"{name}_quantized"].data_type == TensorProto.INT8
    assert name not in found


@pytest.mark.parametrize("kept", ["features.0", "features.1", "head"])
def test_what_stays_in_float_does_so_where_it_is_loaded(
    convolutional: Exported, of_images: Context, kept: str
) -> None:
    """A layer that stays in float is also float in the graph that onnxruntime loads."""
    made = quantize(convolutional, STATIC.model_copy(update={"keep_float": (kept,)}), of_images)
    loaded = describe_graph(made.graph, of_images.data.search).operators_loaded
    floats = [name for name in ("Conv", "FusedConv", "Gemm", "FusedGemm") for _ in range(loaded.get(name, 0))]
    assert len(floats) == 1


def test_the_note_says_what_was_done(convolutional: Exported, of_images: Context) -> None:
    """The note has the method, the layers, the rows and the bytes of held activations."""
    settings = STATIC.model_copy(update={"keep_float": ("head",)})
    (note,) = quantize(convolutional, settings, of_images).notes
    # Eight rows of the image, two convolutions' and two Relus' results, pooled ones before and after
    # flattening; the head stays in float.
    held = 8 * 4 * (64 + 4 * 16 * 64 + 16)
    # 3x3 convolutions of 1 and 16 channels at 8x8 pixels become integers, the head's 16 x 4 weights do not.
    weights, work = 9 * 16 + 9 * 16 * 16, 64 * (9 * 16 + 9 * 16 * 16)
    assert {name: item for name, item in note.items() if name != "output_error"} == {
        "step": "quantize",
        "method": "static",
        "calibration_rows": 32,
        "calibration_bytes": held,
        "integers": {
            "weight_bytes": round(weights / (weights + 16 * 4 + 16 + 16 + 4), 6),
            "multiply_adds": round(work / (work + 16 * 4), 6),
        },
        "stays_float": {"`keep_float`": ["head"]},
        "kept_float": ["head"],
        "quantized": 2,
    }


def test_the_note_says_how_far_the_outputs_are_off(convolutional: Exported, of_images: Context) -> None:
    """The note has the relative root mean square error of each output on the search split."""
    made = quantize(convolutional, STATIC, of_images)
    noted: Any = made.notes[-1]["output_error"]
    wanted, came = (graph_answers(item.graph, of_images.data.search) for item in (convolutional, made))
    error = np.linalg.norm(came - wanted) / np.linalg.norm(wanted)
    assert len(of_images.data.search) <= 64
    assert noted == {"logits": pytest.approx(error, rel=1e-3)}


def test_an_output_of_which_little_is_left_is_an_error(of_images: Context) -> None:
    """A difference of two nearly equal products is refused, because its error is too large."""
    build = Builder()
    h = build.add("Flatten", "image")
    weight = build.random.normal(0, 0.1, (2, 64, 4)).astype(np.float32)
    build.constant("one", weight[0]), build.constant("two", weight[0] + weight[1] / 1000)
    build.add("Sub", build.add("MatMul", h, "one"), build.add("MatMul", h, "two"), output="y")
    given = [value("image", TensorProto.FLOAT, "batch", 1, 8, 8)]
    graph = build.finish(given, [value("y", TensorProto.FLOAT, "batch", 4)])
    with pytest.raises(StepFailed, match=r"the output 'y' is off by .*% of its own size on search rows"):
        quantize(exported_of(graph), DYNAMIC, of_images)


def test_a_sum_behind_which_stands_a_logarithm_stays_in_float(of_images: Context) -> None:
    """A sum before a logarithm stays in float if 8 bits would make it 0."""
    build = Builder()
    h = build.add("Conv", "image", build.weight("w", 4, 1, 3, 3), pads=[1] * 4)
    least = build.constant("least", np.float32(1e-6))
    h = build.add("Log", build.add("Add", build.add("Mul", h, h), least, output="sum"))
    build.add("Conv", h, build.weight("v", 2, 4, 8, 8), output="y")
    given = [value("image", TensorProto.FLOAT, "batch", 1, 8, 8)]
    graph = build.finish(given, [value("y", TensorProto.FLOAT, "batch", 2, 1, 1)])
    made = quantize(exported_of(graph), STATIC, of_images)
    left: Any = made.notes[-1]["left_float"]
    assert list(left) == ["node_sum"]
    assert made.notes[-1]["quantized"] == 2


def test_a_pattern_that_fits_nothing_is_an_error(encoder: Exported, of_texts: Context) -> None:
    """A pattern in `keep_float` that matches no layer is refused."""
    settings = DYNAMIC.model_copy(update={"keep_float": ("encoder.layer.9.*",)})
    with pytest.raises(StepFailed, match=r"'encoder.layer.9.\*' matches none of 12 layers"):
        quantize(encoder, settings, of_texts)


def test_keeping_every_layer_is_an_error(encoder: Exported, of_texts: Context) -> None:
    """A quantization that changes nothing is refused."""
    with pytest.raises(StepFailed, match="changed nothing: 12 layers are all kept in float"):
        quantize(encoder, DYNAMIC.model_copy(update={"keep_float": ("*",)}), of_texts)


def test_embeddings_that_are_not_there_are_an_error(convolutional: Exported, of_images: Context) -> None:
    """`embeddings: true` for a graph without a table is refused."""
    with pytest.raises(StepFailed, match="found no table of embeddings"):
        quantize(convolutional, STATIC.model_copy(update={"embeddings": True}), of_images)


def test_tables_that_are_too_small_are_an_error(tmp_path: Path) -> None:
    """The error gives the minimum size of a table and the largest one's size."""
    build = Builder()
    build.add(
        "MatMul",
        build.add("Gather", build.weight("words", 20, 16), "x"),
        build.weight("w", 16, 4),
        output="y",
    )
    graph = build.finish([value("x", TensorProto.INT64, "n")], [value("y", TensorProto.FLOAT, "n", 4)])
    rows = split_of({"x": np.arange(20)})
    context = context_for("embedding", rows, rows, tmp_path)
    with pytest.raises(StepFailed, match=r"with 4096 or more floats.* \(the largest, 'words', has 320\)"):
        quantize(exported_of(graph), DYNAMIC.model_copy(update={"embeddings": True}), context)


@pytest.mark.parametrize("settings", [STATIC, DYNAMIC, WEIGHTS], ids=lambda settings: settings.method)
def test_a_graph_without_weights_is_an_error(of_images: Context, settings: Quantize) -> None:
    """A graph without weights is refused, and the error lists its operators."""
    build = Builder()
    build.add("Sigmoid", "image", output="y")
    shape = ("batch", 1, 8, 8)
    graph = build.finish([value("image", TensorProto.FLOAT, *shape)], [value("y", TensorProto.FLOAT, *shape)])
    with pytest.raises(StepFailed, match="changed nothing: the graph has Sigmoid and none of"):
        quantize(exported_of(graph), settings, of_images)


@pytest.mark.parametrize("settings", [STATIC, DYNAMIC, WEIGHTS], ids=lambda settings: settings.method)
def test_weights_in_double_precision_are_named(of_images: Context, settings: Quantize) -> None:
    """The error for weights in double precision gives their type and the fix."""
    build = Builder()
    h = build.add("Flatten", build.add("Cast", "image", to=TensorProto.DOUBLE))
    weight = build.constant("head.weight", np.ones((64, 3)))
    build.add("Cast", build.add("MatMul", h, weight), to=TensorProto.FLOAT, output="y")
    image = value("image", TensorProto.FLOAT, "batch", 1, 8, 8)
    graph = build.finish([image], [value("y", TensorProto.FLOAT, "batch", 3)])
    with pytest.raises(StepFailed, match=r"weights of all 1 layers, such as 'head', are float64.*\.float"):
        quantize(exported_of(graph), settings, of_images)


def test_an_old_graph_is_an_error(of_images: Context) -> None:
    """A graph with opset 12 is refused for static quantization."""
    build = Builder()
    build.add("MatMul", build.add("Flatten", "image"), build.weight("w", 64, 4), output="y")
    given = [value("image", TensorProto.FLOAT, "batch", 1, 8, 8)]
    graph = build.finish(given, [value("y", TensorProto.FLOAT, "batch", 4)], opset=12)
    with pytest.raises(StepFailed, match="has opset 12, and static quantization needs 13"):
        quantize(exported_of(graph), STATIC, of_images)


@pytest.mark.parametrize("settings", [STATIC, DYNAMIC, WEIGHTS], ids=lambda item: item.method)
def test_a_graph_that_answers_with_class_names_is_quantized(settings: Quantize, tmp_path: Path) -> None:
    """A Gather of strings at the end of a classifier stays as it is, and the layers become integers."""
    build = Builder()
    hidden = build.add("Relu", build.add("MatMul", "x", build.weight("w1", 16, 64)))
    logits = build.add("MatMul", hidden, build.weight("w2", 64, 5), output="logits")
    names = build.constant("names", np.array(list("abcde"), object))
    build.add("Gather", names, build.add("ArgMax", logits, axis=1, keepdims=0), output="label")
    graph = build.finish(
        [value("x", TensorProto.FLOAT, "n", 16)],
        [value("logits", TensorProto.FLOAT, "n", 5), value("label", TensorProto.STRING, "n")],
    )
    rows = split_of({"x": np.random.default_rng(0).normal(0, 1, (32, 16)).astype(np.float32)})
    made = quantize(exported_of(graph), settings, context_for("classification", rows, rows, tmp_path))
    scores, labels = answers(made.graph, **rows.inputs)
    assert labels.tolist() == [list("abcde")[place] for place in scores.argmax(axis=1)]


def test_a_pattern_that_matches_no_layer_is_told_each_layer_once(
    convolutional: Exported, of_images: Context
) -> None:
    """A layer has several names that a pattern may match, and the error lists one of each."""
    settings = STATIC.model_copy(update={"keep_float": ("zzz",)})
    known = "matches none of 3 layers; known: features.0, features.1, head$"
    with pytest.raises(StepFailed, match=known):
        quantize(convolutional, settings, of_images)
