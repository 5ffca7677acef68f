"""Finds NaN weights that a graph computes with, which a diverged training leaves.

Elsewhere NaN is valid, because it marks missing values. Infinity is valid everywhere, because masks use
it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from export.onnx.stored_tensor import read_array

_COMPUTING = {
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Attention", "LSTM", "GRU", "RNN", "PRelu"),
    *("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"),
}
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
# Operators that pass NaN on to another place.
_PASSING = {
    *("Identity", "Transpose", "Reshape", "Cast", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat"),
    *("Gather", "Add", "Sub", "Mul", "Div", "Neg"),
}


def find_nan_weight(graph: Any, outer: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """Return the first constant with NaN that the graph or an inner graph computes with, and the node, such
    as ("w", "MatMul 'head'"); None if there is none.

    `outer` maps values of the outer graphs that hold NaN to their constants."""
    nan_values = {**(outer or {}), **{item.name: item.name for item in graph.initializer if _holds_nan(item)}}
    for node in graph.node:
        source = next((nan_values[name] for name in node.input if name in nan_values), None)
        if source is not None and node.op_type in _COMPUTING:
            return source, f"{node.op_type} {node.name or node.output[0]!r}"
        if source is not None and node.op_type in _PASSING:
            nan_values |= dict.fromkeys(node.output, source)
        for attribute in node.attribute:
            if node.op_type == "Constant" and _holds_nan(attribute.t):
                nan_values[node.output[0]] = str(node.output[0])
            for inner in (attribute.g, *attribute.graphs):
                if below := find_nan_weight(inner, nan_values):
                    return below
    return None


def _holds_nan(tensor: Any) -> bool:
    if tensor.data_type not in _FLOATS:
        return False
    return bool(np.isnan(read_array(tensor)).any())
