"""Spoiled: weights that hold NaN, where a graph computes with them: a training diverged.

Elsewhere NaN is legitimate: it marks what is missing. So is infinity everywhere: masks are made of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

_COMPUTING = {
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Attention", "LSTM", "GRU", "RNN", "PRelu"),
    *("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"),
}
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
# What they make of NaN is NaN, in another place.
_PASSING = {
    *("Identity", "Transpose", "Reshape", "Cast", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat"),
    *("Gather", "Add", "Sub", "Mul", "Div", "Neg"),
}


def find_spoiled(graph: Any, outer: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """The first constant with NaN that the graph, or one inside it, computes with, and the node that does,
    such as ("w", "MatMul 'head'"); None: there is none. `outer`: values of the graphs around it that hold
    NaN, each with the constant that it comes from."""
    spoiled = {**(outer or {}), **{item.name: item.name for item in graph.initializer if _holds_nan(item)}}
    for node in graph.node:
        found = next((spoiled[name] for name in node.input if name in spoiled), None)
        if found is not None and node.op_type in _COMPUTING:
            return found, f"{node.op_type} {node.name or node.output[0]!r}"
        if found is not None and node.op_type in _PASSING:
            spoiled |= dict.fromkeys(node.output, found)
        for attribute in node.attribute:
            if node.op_type == "Constant" and _holds_nan(attribute.t):
                spoiled[node.output[0]] = str(node.output[0])
            for inner in (attribute.g, *attribute.graphs):
                if below := find_spoiled(inner, spoiled):
                    return below
    return None


def _holds_nan(tensor: Any) -> bool:
    if tensor.data_type not in _FLOATS:
        return False
    return bool(np.isnan(numpy_helper.to_array(tensor)).any())
