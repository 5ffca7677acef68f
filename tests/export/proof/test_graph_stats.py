"""What the statistics count in a graph, whatever the form of the weights."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from export.data.datasets import Split
from export.proof.graph_cost import count_multiply_adds
from export.proof.graph_stats import describe_graph
from export.proof.parameter_count import count_parameters
from export.recipes.digits import digits_model
from export.step import Quantize
from export.steps.quantize import quantize
from serve.bundles.onnx_graph import Graph
from tests.export.graphs import (
    TOKENS,
    context_for,
    conv_graph,
    encoder_graph,
    exported_of,
    images,
    texts,
    value,
)

BuildGraph = Callable[[], bytes]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, bytes]:
    """The digits network, untrained, and its graph."""
    folder = tmp_path_factory.mktemp("digits")
    torch.manual_seed(0)
    module = digits_model().eval()
    # A bias of zeros would be dropped from the graph.
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    path = folder / "digits.onnx"
    example = (torch.zeros(1, 1, 8, 8),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter raises these warnings
        torch.onnx.export(module, example, path, dynamo=True, external_data=False, verbose=False)
    return module, path.read_bytes()


def make_graph(nodes: list[Any], weights: dict[str, NDArray[Any]], shape: list[int]) -> Any:
    """A model from x to y with these weights."""
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, *shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=10)


def work(nodes: list[Any], weights: dict[str, NDArray[Any]], shape: list[int]) -> int:
    """The multiply-adds of such a model."""
    return count_multiply_adds(make_graph(nodes, weights, shape), {"x": np.ones(shape, np.float32)})


def quantized(graph: bytes, split: Callable[[int, int], Split], folder: Path, **settings: Any) -> Graph:
    """The graph, quantized so."""
    context = context_for("classification", split(40, 1), split(40, 2), folder)
    step = Quantize.model_validate({"step": "quantize", **settings})
    return quantize(exported_of(graph), step, context).graph


def test_multiply_adds_are_those_that_torch_counts(digits: tuple[torch.nn.Module, bytes]) -> None:
    """The multiply-adds equal those of torch's counter, which counts each as two."""
    module, graph = digits
    image = np.zeros((1, 1, 8, 8), np.float32)
    with FlopCounterMode(display=False) as counter:
        module(torch.from_numpy(image))
    model = onnx.load_from_string(graph)
    name = model.graph.input[0].name
    assert count_multiply_adds(model, {name: image}) == counter.get_total_flops() // 2


def test_counts_the_models_weights(digits: tuple[torch.nn.Module, bytes]) -> None:
    """The count equals that of the torch model without the folded normalizations."""
    module, graph = digits
    normalizations = 2 * (32 + 64 + 128)
    folded_biases = 32 + 64 + 128
    expected = sum(parameter.numel() for parameter in module.parameters()) - normalizations + folded_biases
    assert count_parameters(onnx.load_from_string(graph)).count == expected


@pytest.mark.parametrize(
    ("build", "split", "settings"),
    [
        (conv_graph, images, {"method": "static"}),
        (conv_graph, images, {"method": "dynamic"}),
        (encoder_graph, texts, {"method": "static"}),
        (encoder_graph, texts, {"method": "dynamic"}),
        (encoder_graph, texts, {"method": "dynamic", "embeddings": True}),
        (encoder_graph, texts, {"method": "weights", "bits": 8}),
        (encoder_graph, texts, {"method": "weights", "bits": 4}),
    ],
    ids=lambda item: getattr(item, "__name__", None) or str(item),
)
def test_quantization_changes_neither_weights_nor_work(
    build: BuildGraph, split: Callable[[int, int], Split], settings: dict[str, Any], tmp_path: Path
) -> None:
    """Quantization changes neither the number of parameters nor the multiply-adds."""
    before = describe_graph(build(), split(8, 0))
    after = describe_graph(quantized(build(), split, tmp_path, **settings), split(8, 0))
    assert after.parameters == before.parameters
    assert after.multiply_adds == before.multiply_adds


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros_as_integers(bits: int, tmp_path: Path) -> None:
    """Zeros of a pruned layer are counted after it was packed as integers."""
    model = onnx.load_from_string(encoder_graph())
    pruned = next(item for item in model.graph.initializer if item.name.startswith("val_"))
    array = numpy_helper.to_array(pruned).copy()
    array[: len(array) // 2] = 0
    pruned.CopyFrom(numpy_helper.from_array(array, pruned.name))
    graph = quantized(model.SerializeToString(), texts, tmp_path, method="weights", bits=bits)
    found = count_parameters(onnx.load_from_string(graph))
    whole = count_parameters(
        onnx.load_from_string(quantized(encoder_graph(), texts, tmp_path, method="weights", bits=bits))
    )
    # A small weight may round to zero in both.
    assert found.count == whole.count
    assert array.size // 2 * 0.8 < whole.nonzero - found.nonzero <= array.size // 2


def test_integers_that_stand_for_zero_are_zeros() -> None:
    """A quantized weight is zero if it equals its channel's zero point."""
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "q": np.array([[5, 0], [7, 9]], np.uint8),
        "scale": np.ones(2, np.float32),
        "zero": np.array([5, 9], np.uint8),
    }
    found = count_parameters(make_graph(nodes, weights, [1, 2]))
    assert (found.count, found.nonzero) == (4, 2)


def test_a_product_of_microsofts_four_operators_is_a_product() -> None:
    """The four operators of onnxruntime's quantize_dynamic count as one product, without its scales."""
    made = helper.make_node
    nodes = [
        made("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        made("MatMulInteger", ["q", "w", "z", "w_zero"], ["i"]),
        made("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        made("Mul", ["s", "w_scale"], ["both"]),
        made("Mul", ["f", "both"], ["y"]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "w": np.array([[1, 0, 3], [4, 5, 6]], np.int8),
        "w_zero": np.zeros(3, np.int8),
        "w_scale": np.ones(3, np.float32),
    }
    found = count_parameters(make_graph(nodes, weights, [1, 2]))
    assert (found.count, found.nonzero) == (6, 5)
    assert work(nodes, weights, [4, 2]) == 4 * 2 * 3


@pytest.mark.parametrize(
    ("node", "weights", "shape", "expected"),
    [
        (
            helper.make_node("Conv", ["x", "w"], ["y"], group=2, kernel_shape=[3, 3]),
            {"w": np.ones((4, 1, 3, 3), np.float32)},
            [1, 2, 8, 8],
            # 6 x 6 positions of 4 channels, each over 1 channel of 3 x 3.
            4 * 36 * 9,
        ),
        (
            helper.make_node("Gemm", ["x", "w"], ["y"], transA=1),
            {"w": np.ones((5, 3), np.float32)},
            [5, 2],
            5 * 2 * 3,
        ),
        (
            helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=4),
            {"w": np.ones((1, 12, 3), np.float32), "r": np.ones((1, 12, 4), np.float32)},
            [7, 2, 3],
            # 7 steps of 2 rows, each once through all weights.
            7 * 2 * 12 * (3 + 4),
        ),
        (
            helper.make_node(
                "MultiHeadAttention", ["x", "x", "x"], ["y"], num_heads=2, domain="com.microsoft"
            ),
            {},
            [2, 5, 8],
            # Query times key and shares times value, of 2 rows.
            2 * (2 * 5 * 5 * 8),
        ),
        (
            helper.make_node("Attention", ["x", "w", "b"], ["y"], num_heads=2, domain="com.microsoft"),
            {"w": np.ones((8, 24), np.float32), "b": np.ones(24, np.float32)},
            [2, 5, 8],
            2 * 5 * 8 * 24 + 2 * (2 * 5 * 5 * 8),
        ),
    ],
    ids=["Conv with groups", "Gemm, turned", "GRU", "MultiHeadAttention", "Attention"],
)
def test_work_is_that_of_the_definition(
    node: Any, weights: dict[str, NDArray[Any]], shape: list[int], expected: int
) -> None:
    """The multiply-adds equal those counted by hand."""
    assert work([node], weights, shape) == expected


def test_work_is_that_of_the_longest_row() -> None:
    """The multiply-adds are those of the longest row."""
    short, long = texts(1, 0), texts(40, 0)
    assert int(short.lengths[0] if short.lengths is not None else 0) < TOKENS
    assert (
        describe_graph(encoder_graph(), short).multiply_adds
        < describe_graph(encoder_graph(), long).multiply_adds
    )


def test_the_loaded_graph_is_what_onnxruntime_makes_of_it() -> None:
    """The statistics list the operators of the file and those of the graph that onnxruntime loads."""
    found = describe_graph(conv_graph(), images(4, 0))
    assert found.operators["Relu"] == 2
    assert "Relu" not in found.operators_loaded
    assert found.compressed_size_bytes < len(conv_graph())
