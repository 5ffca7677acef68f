"""Quantization turns weights into integers, and every setting acts."""

from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from export.datasets import Data
from export.errors import StepFailed
from export.pipeline import Outcome
from export.recipe import Quantize
from export.steps.quantize import quantize


def load(graph: bytes) -> Any:
    """The graph's nodes and initializers by name."""
    model = onnx.load_from_string(graph)
    return model.graph.node, {item.name: item for item in model.graph.initializer}


@pytest.fixture(scope="module")
def usual(float_graph: bytes, data: Data, static: Quantize) -> bytes:
    """The baseline's graph, quantized the usual way."""
    return quantize(float_graph, static, data.calibration)


def test_weights_are_integers(usual: bytes) -> None:
    """Every convolution and linear layer reads int8 weights with a scale per channel."""
    nodes, initializers = load(usual)
    assert sum(node.op_type in ("Conv", "Gemm") for node in nodes) == 5
    weights = [name for name in initializers if name.endswith("weight_quantized")]
    assert len(weights) == 5
    assert all(initializers[name].data_type == TensorProto.INT8 for name in weights)
    assert list(initializers["features.3.weight_scale"].dims) == [64]


def test_activations_stay_integers_between_layers(usual: bytes) -> None:
    """No Relu is left to compute in floats between two quantized layers."""
    nodes, _ = load(usual)
    assert not any(node.op_type == "Relu" for node in nodes)


def test_the_file_is_smaller(outcome: Outcome) -> None:
    """A byte per weight instead of four, and a little for scales."""
    full, int8 = (outcome.model.bundles[name].figures for name in ("fp32", "int8"))
    assert int8.model_size_bytes < 0.3 * full.model_size_bytes


@pytest.mark.parametrize(
    "change",
    [
        {"calibrate": "percentile"},
        {"per_channel": False},
        {"activations": "int8"},
        {"weights": "uint8"},
    ],
    ids=str,
)
def test_every_setting_acts(
    float_graph: bytes, data: Data, static: Quantize, usual: bytes, change: dict[str, Any]
) -> None:
    """A setting that changed nothing would be a promise that nobody keeps."""
    changed = quantize(float_graph, static.model_copy(update=change), data.calibration)
    assert changed != usual


def test_standard_output_stays_free(
    float_graph: bytes, data: Data, static: Quantize, capsys: pytest.CaptureFixture[str]
) -> None:
    """onnxruntime's chatter never mixes with the figures of --json."""
    quantize(float_graph, static.model_copy(update={"calibrate": "percentile"}), data.calibration)
    assert capsys.readouterr().out == ""


def test_a_graph_without_weights_is_an_error(data: Data, static: Quantize) -> None:
    """A quantization that finds nothing to quantize says what it found."""
    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1, 8, 8])
    graph = helper.make_graph(
        [helper.make_node("Sigmoid", ["image"], ["y"], name="s")], "g", [value], [result]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(StepFailed, match="changed nothing: the graph has Sigmoid and none of Conv"):
        quantize(model.SerializeToString(), static, data.calibration)
