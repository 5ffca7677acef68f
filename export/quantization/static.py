"""Static quantization: integer weights and activations, with ranges from calibration.

Convolutional networks get QDQ pairs, which onnxruntime fuses into layers with 8-bit inputs and outputs. In
attention, every product has a float result, and the fused operator is written directly."""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    TensorsData,
    quantize_static,
)
from onnxruntime.quantization.calibrate import save_tensors_data
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from export.errors import StepFailed
from export.onnx.graph import free_node_name
from export.onnx.model_proto import copy_model, make_graph
from export.quantization.integer_products import Ranges, make_products
from export.quantization.layers import WEIGHTS, own_constants
from export.rewrites.graph_cleanup import sort
from export.rewrites.wiring import Wiring
from export.scratch_folder import scratch_folder
from export.step import Quantize
from serve.bundles.onnx_graph import SplitGraph, write_graph

OPERATORS = ("Conv", "Gemm", "MatMul")
# Operators that pay in 8 bits for convolutional and plain feed-forward networks. onnxruntime's own list adds
# Softmax, Mul and the normalizations, which lose accuracy and gain nothing. Relu and Clip must be included:
# only then are they absorbed by the range of the previous layer, and the following layers stay in 8 bits.
_PLAIN = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool")
_REQUANTIZED = ("Conv", "ConvTranspose", "Gemm")
_VANISHING = ("Relu", "Clip")
_NORMALIZED = ("LayerNormalization", "SkipLayerNormalization", "Attention", "MultiHeadAttention", "Softmax")
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
# The first opset with a scale per channel.
_LEAST_OPSET = 13


def require_opset(model: Any) -> None:
    """Raise StepFailed if the graph is older than the operators that 8 bits need."""
    opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    if opset < _LEAST_OPSET:
        raise StepFailed(
            f"the graph has opset {opset}, and static quantization needs {_LEAST_OPSET}; convert the file "
            f"with onnx.version_converter.convert_version(model, {_LEAST_OPSET}) first"
        )


def is_attentive(model: Any) -> bool:
    """Whether the operators between the products (bias, Softmax, Gelu, normalization) need floats, because
    their outliers would widen the ranges."""
    # A Softmax at the very end belongs to a classifier; one whose result is read belongs to attention.
    outputs = {item.name for item in model.graph.output}
    outputs |= {
        node.input[0] for node in model.graph.node if node.op_type == "Identity" and node.output[0] in outputs
    }
    return any(
        node.op_type in _NORMALIZED and not (node.op_type == "Softmax" and node.output[0] in outputs)
        for node in model.graph.node
    )


def find_pairs(model: Any, layers: Collection[str]) -> list[str]:
    """Return the nodes that compute in integers between QDQ pairs: those named in `layers` and what lies
    between them. With attention, only operators that read such nodes exclusively."""
    attentive, outputs = is_attentive(model), {item.name for item in model.graph.output}
    constants = {item.name for item in model.graph.initializer}
    pairs: list[str] = []
    made: set[str] = set()
    for node in model.graph.node:
        if node.op_type not in _PLAIN:
            continue
        if node.op_type in WEIGHTS:
            fits = node.name in layers and not (attentive and node.op_type != "Conv")
        else:
            fits = not attentive or {name for name in node.input if name} - constants <= made
        # onnxruntime would remove it and return its input in place of its result.
        if fits and not (node.op_type in _VANISHING and node.input[0] in outputs):
            pairs.append(node.name)
            made |= set(node.output)
    return pairs


def activations(model: Any, layers: Collection[str]) -> tuple[str, ...]:
    """Return the float tensors whose ranges the quantization of these nodes needs, in the graph's order."""
    constants = {item.name for item in model.graph.initializer}
    floats = {
        item.name
        for item in (*model.graph.value_info, *model.graph.input, *model.graph.output)
        if item.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    names_ranged = [name for names in _ranged(model, layers).values() for name in names]
    return tuple(dict.fromkeys(name for name in names_ranged if name in floats and name not in constants))


def find_endless(model: Any, layers: Collection[str], infinite: Collection[str]) -> dict[str, str]:
    """Return the nodes that cannot be quantized because these tensors have no range, with the reason."""
    return {
        node: f"holds infinity in {endless[0]!r} on calibration rows, which no range does"
        for node, names in _ranged(model, layers).items()
        if (endless := [name for name in names if name in infinite])
    }


def _ranged(model: Any, layers: Collection[str]) -> dict[str, list[str]]:
    """Map each node to quantize to the tensors whose ranges this needs, among others."""
    pairs, found = set(find_pairs(model, layers)), {}
    for node in model.graph.node:
        if node.name in pairs:
            found[node.name] = [*node.input, *node.output]
        elif node.op_type == "MatMul" and node.name in layers:
            found[node.name] = [node.input[0]]
    return found


def make_static(
    model: Any, layers: Collection[str], left: Collection[str], ranges: Ranges, settings: Quantize
) -> Any:
    """Return a copy of the prepared model in which the nodes named in `layers` compute in integers, and those
    in `left` do not; with attention, its Gemms are split."""
    made = copy_model(model)
    pairs = [name for name in find_pairs(model, layers) if name not in left]
    if is_attentive(model):
        made = make_products(made, layers, settings, ranges)
    return _make_pairs(own_constants(made, pairs), pairs, ranges, settings) if pairs else made


def _make_pairs(model: Any, nodes: list[str], ranges: Ranges, settings: Quantize) -> Any:
    outputs = [type(item).FromString(item.SerializeToString()) for item in model.graph.output]
    inputs = {item.name for item in model.graph.input}
    # onnxruntime would create an output anew if it is an input.
    del model.graph.output[:]
    model.graph.output.extend(item for item in outputs if item.name not in inputs)
    found = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    with scratch_folder() as folder:
        # Otherwise the tool warns that nothing prepared the graph.
        add_pre_process_metadata(model)
        graph = make_graph(model)
        write_graph(graph, folder / "prepared.onnx")
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, found), folder / "ranges.json")
        quantize_static(
            folder / "prepared.onnx",
            folder / "quantized.onnx",
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_PLAIN),
            nodes_to_quantize=nodes,
            per_channel=settings.per_channel,
            reduce_range=settings.reduce_range,
            activation_type=TYPES[settings.activations],
            weight_type=TYPES[settings.weights],
            calibrate_method=CalibrationMethod.MinMax,
            calibration_cache_path=folder / "ranges.json",
            use_external_data_format=isinstance(graph, SplitGraph),
            extra_options={"MatMulConstBOnly": True},
        )
        made = sort(onnx.load(folder / "quantized.onnx"))
    del made.graph.output[:]
    made.graph.output.extend(outputs)
    return _hold_floats(made)


def _hold_floats(model: Any) -> Any:
    """Change the model in place: a float layer between two pairs stays in float.

    onnxruntime would quantize its weights with a single scale when it loads the file, unless an operator
    follows the layer."""
    wiring = Wiring(model)
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type in _REQUANTIZED and node.input[1] in wiring.constants:
            maker, readers = wiring.makers.get(node.input[0]), wiring.readers(node.output[0])
            # A Relu is absorbed by the pair after it.
            paired = {reader.op_type for reader in readers} <= {"QuantizeLinear", *_VANISHING}
            if paired and maker is not None and maker.op_type == "DequantizeLinear":
                float_name, output = f"{node.output[0]}_float", node.output[0]
                node.output[0] = float_name
                name = free_node_name(f"{node.name}_float", model.graph)
                nodes.append(onnx.helper.make_node("Sum", [float_name], [output], name))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model
