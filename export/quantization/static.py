"""Static: weights and activations as integers, with ranges that calibration found.

Networks of convolutions become QDQ pairs, which onnxruntime joins into layers that take and give 8 bits.
Around attention floats come out of every product, and there the joined operator is written at once."""

import tempfile
from collections.abc import Collection
from pathlib import Path
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

from export.errors import StepFailed
from export.quantization.products import Ranges, make_products
from export.step import Quantize

# What pays in 8 bits for convolutional and plain feed-forward networks. onnxruntime's own list adds
# Softmax, Mul and the normalizations, which lose accuracy and gain nothing. Relu and Clip must be here:
# only then do they vanish into the range of the layer before, and keep what follows in 8 bits.
_PLAIN = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool")
_NORMALIZED = ("LayerNormalization", "SkipLayerNormalization", "Attention", "MultiHeadAttention", "Softmax")
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
# The first with a scale per channel.
_LEAST_OPSET = 13


def require_opset(model: Any) -> None:
    """Raise StepFailed when the graph is older than the operators that 8 bits need."""
    opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    if opset < _LEAST_OPSET:
        raise StepFailed(
            f"the graph has opset {opset}, and static quantization needs {_LEAST_OPSET}; convert the file "
            f"with onnx.version_converter.convert_version(model, {_LEAST_OPSET}) first"
        )


def is_attentive(model: Any) -> bool:
    """Whether what is between the products (bias, Softmax, Gelu, normalization) wants floats: its outliers
    would set the ranges."""
    # A Softmax at the very end is a classifier's; one whose result is read is attention's.
    outputs = {item.name for item in model.graph.output}
    return any(
        node.op_type in _NORMALIZED and not (node.op_type == "Softmax" and node.output[0] in outputs)
        for node in model.graph.node
    )


def activations(model: Any, layers: Collection[str]) -> tuple[str, ...]:
    """The float tensors whose ranges the quantization of these nodes needs, in the graph's order."""
    if is_attentive(model):
        read = [
            node.input[0] for node in model.graph.node if node.op_type == "MatMul" and node.name in layers
        ]
        return tuple(dict.fromkeys(read))
    constants = {item.name for item in model.graph.initializer}
    floats = {
        item.name
        for item in (*model.graph.value_info, *model.graph.input, *model.graph.output)
        if item.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    found = [
        name
        for node in model.graph.node
        if node.op_type in _PLAIN and (node.op_type not in ("Gemm", "MatMul") or node.name in layers)
        for name in (*node.input, *node.output)
        if name in floats and name not in constants
    ]
    return tuple(dict.fromkeys(found))


def make_static(model: Any, layers: Collection[str], ranges: Ranges, settings: Quantize) -> Any:
    """A copy of the prepared model in which the nodes named in `layers` compute with integers; where it is
    attentive, its Gemms are split."""
    if is_attentive(model):
        made = type(model)()
        made.CopyFrom(model)
        return make_products(made, layers, settings, ranges)
    return _make_pairs(model, layers, ranges, settings)


def _make_pairs(model: Any, layers: Collection[str], ranges: Ranges, settings: Quantize) -> Any:
    weighted = ("Conv", "Gemm", "MatMul")
    excluded = [
        node.name for node in model.graph.node if node.op_type in weighted and node.name not in layers
    ]
    found = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    with tempfile.TemporaryDirectory(prefix="counterweight-") as name:
        folder = Path(name)
        onnx.save(model, folder / "prepared.onnx")
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, found), folder / "ranges.json")
        quantize_static(
            folder / "prepared.onnx",
            folder / "quantized.onnx",
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_PLAIN),
            nodes_to_exclude=excluded,
            per_channel=settings.per_channel,
            reduce_range=settings.reduce_range,
            activation_type=TYPES[settings.activations],
            weight_type=TYPES[settings.weights],
            calibrate_method=CalibrationMethod.MinMax,
            calibration_cache_path=folder / "ranges.json",
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(folder / "quantized.onnx")
