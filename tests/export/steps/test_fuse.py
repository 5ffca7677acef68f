"""Fusing leaves fewer operators and the same answers, or is an error."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from export.artifacts import Context, Exported
from export.errors import StepFailed
from export.rewrites.rewrite_check import compare, largest_difference, require_same_interface
from export.step import Fuse
from export.steps.fuse import fuse
from tests.export.graphs import (
    Builder,
    context_for,
    conv_graph,
    encoder_graph,
    exported_of,
    images,
    operators,
    texts,
    value,
)

FUSE = Fuse(step="fuse")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """What a step on the encoder is given."""
    return context_for("embedding", texts(24, 0), texts(24, 1), tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def fused(context: Context) -> Exported:
    """The encoder of two layers, fused."""
    return fuse(exported_of(encoder_graph()), FUSE, context)


def test_attention_is_fused(fused: Exported) -> None:
    """Each of the two layers has one fused attention and two norms without the slow kernel."""
    assert (fused.notes[0]["attentions"], fused.notes[0]["unskipped"]) == (2, 4)
    assert "Softmax" not in operators(fused.graph)


def test_the_batch_and_the_length_stay_free(fused: Exported) -> None:
    """The fused graph has the same inputs and outputs, including free dimensions."""
    before, after = (onnx.load_from_string(graph) for graph in (encoder_graph(), fused.graph))
    require_same_interface(before, after)


def test_every_batch_answers_the_same(fused: Exported) -> None:
    """The fused graph answers short and long texts as the original does."""
    assert largest_difference(compare(encoder_graph(), fused.graph, texts(24, 2))) < 1e-4


def test_an_expectation_that_is_met_passes(context: Context) -> None:
    """`expect` accepts any number up to the number of fused operators."""
    settings = Fuse(step="fuse", expect={"Attention": 2, "Gelu": 1})
    assert fuse(exported_of(encoder_graph()), settings, context).notes[0]["step"] == "fuse"


def test_an_expectation_that_is_not_met_is_an_error(context: Context) -> None:
    """The error for an unmet expectation lists the operators that were found."""
    settings = Fuse(step="fuse", expect={"Attention": 6})
    with pytest.raises(StepFailed, match=r"at least 6 Attention, but there are 2 among .*4 LayerNorm"):
        fuse(exported_of(encoder_graph()), settings, context)


def test_fusing_what_is_fused_is_an_error(fused: Exported, context: Context) -> None:
    """A step that changed nothing is refused."""
    with pytest.raises(StepFailed, match="fusing changed nothing"):
        fuse(fused, FUSE, context)


def test_a_convolution_takes_its_norm_in(tmp_path: Path) -> None:
    """A batch normalization is folded into the convolution before it."""
    build = Builder()
    x = build.add("Conv", "image", build.weight("weight", 4, 1, 3, 3), kernel_shape=[3, 3])
    norm = [build.weight(name, 4) for name in ("scale", "shift", "mean")]
    build.constant("variance", np.ones(4, np.float32))
    build.add("BatchNormalization", x, *norm, "variance", output="y")
    given = [value("image", TensorProto.FLOAT, "batch", 1, 8, 8)]
    graph = build.finish(given, [value("y", TensorProto.FLOAT, "batch", 4, 6, 6)])
    context = context_for("embedding", images(24, 0), images(24, 1), tmp_path)
    assert operators(fuse(exported_of(graph), FUSE, context).graph) == {"Conv": 1}


def test_what_onnxruntime_fuses_itself_is_an_error(tmp_path: Path) -> None:
    """A convolution and its Relu are not fused, as onnxruntime does that at load; the step is refused."""
    context = context_for("classification", images(24, 0), images(24, 1), tmp_path)
    with pytest.raises(StepFailed, match=r"fusing changed nothing: .+ remove the step"):
        fuse(exported_of(conv_graph()), FUSE, context)


def test_another_interface_is_an_error(fused: Exported) -> None:
    """A fused graph with another output name is refused."""
    after = onnx.load_from_string(fused.graph)
    after.graph.output[0].name = "other"
    with pytest.raises(StepFailed, match=r"outputs changed from .+embedding.+ to .+other FLOAT"):
        require_same_interface(onnx.load_from_string(encoder_graph()), after)


def test_other_weights_are_noticed(fused: Exported) -> None:
    """A graph with changed weights has a difference above the tolerance."""
    model = onnx.load_from_string(encoder_graph())
    table = next(item for item in model.graph.initializer if item.name == "embeddings.word.weight")
    rows = onnx.numpy_helper.to_array(table)
    table.CopyFrom(onnx.numpy_helper.from_array(rows + np.float32(0.1) * rows[::-1], table.name))
    changed = replace(fused, graph=model.SerializeToString())
    assert largest_difference(compare(changed.graph, fused.graph, texts(24, 2))) > 1e-2


def test_half_floats_are_fused_as_floats(context: Context, fused: Exported) -> None:
    """A graph in half floats gets the same number of fused attentions as its float32 equal."""
    half = convert_float_to_float16(onnx.load_from_string(encoder_graph()), keep_io_types=True)
    OnnxModel(half).topological_sort()
    made = fuse(replace(exported_of(encoder_graph()), graph=half.SerializeToString()), FUSE, context)
    assert made.notes[-1]["attentions"] == fused.notes[-1]["attentions"] == 2
