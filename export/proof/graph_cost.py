"""Counts the multiply-adds of an ONNX graph from the actual shapes of its values."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import onnx

from export.onnx.inner_runs import Shape, find_inner_runs
from export.quantization.calibration import TensorWatch
from serve.base.tensor import Arrays

# Counts from the shapes of the inputs and of the first output, and the attributes.
Rule = Callable[[list[Shape], Shape, Mapping[str, Any]], int]


def count_multiply_adds(model: Any, inputs: Arrays) -> int:
    """Count the multiply-adds of matrix products, convolutions, attention and recurrent layers for these
    inputs, and those inside If, Loop and Scan as often as they run. The graph runs once to get the shapes."""
    return sum(count_by_output(model, inputs).values())


def count_by_node(model: Any, inputs: Arrays) -> dict[str, int]:
    """Count the multiply-adds of each node, by its name; 0 for other operators. Those inside an If, a Loop or
    a Scan are its own. Every node must have a name."""
    by_output = count_by_output(model, inputs)
    return {node.name: sum(by_output.get(name, 0) for name in node.output) for node in model.graph.node}


def count_by_output(model: Any, inputs: Arrays) -> dict[str, int]:
    """Count the multiply-adds of each node that has any, by the name of its first output."""
    counted = [node for node in model.graph.node if node.op_type in _RULES]
    constants = {item.name: tuple(item.dims) for item in model.graph.initializer}
    names = {name for node in counted for name in (*node.input, next(filter(None, node.output))) if name}
    seen = TensorWatch(model, tuple(sorted(names - constants.keys()))).look(inputs)
    shapes = constants | {name: value.shape for name, value in seen.items()} | {"": ()}
    counts = {
        next(filter(None, node.output)): _count(
            node, [shapes[name] for name in node.input], shapes[next(filter(None, node.output))]
        )
        for node in counted
    }
    for run in find_inner_runs(model, COUNTED, inputs):
        counts[run.outer] = counts.get(run.outer, 0) + _count(run.node, run.inputs, run.output)
    return counts


def _count(node: Any, inputs: list[Shape], output: Shape) -> int:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    return _RULES[node.op_type](inputs, output, attributes)


def _product(inputs: list[Shape], output: Shape, attributes: Mapping[str, Any]) -> int:
    shape = inputs[0]
    inner = shape[-2] if attributes.get("transA") and len(shape) > 1 else shape[-1]
    return prod(output) * inner


def _convolution(weight: int) -> Rule:
    return lambda inputs, output, _: prod(output) * prod(inputs[weight][1:])


def _transposed_convolution(inputs: list[Shape], _: Shape, __: Mapping[str, Any]) -> int:
    return prod(inputs[0]) * prod(inputs[1][1:])


def _recurrent(inputs: list[Shape], _: Shape, attributes: Mapping[str, Any]) -> int:
    """Every weight of every gate and direction counts once for each step and row."""
    return inputs[0][0] * inputs[0][1] * (prod(inputs[1]) + prod(inputs[2]))


def _attention(inputs: list[Shape], output: Shape, _: Mapping[str, Any]) -> int:
    """Count query times key, and the attention shares times value.

    com.microsoft's Attention first makes all three from one input with a weight of two dimensions; they may
    also come as one input, [batch, tokens, heads, 3, width]."""
    query, other = inputs[:2]
    if len(query) == 5:
        return 2 * query[0] * query[1] ** 2 * query[2] * query[4]
    if len(other) == 2:
        return prod(query) * other[1] + 2 * query[1] * prod(output)
    return (prod(query) + prod(output)) * other[-2]


_PRODUCTS = ("Gemm", "FusedGemm", "MatMul", "FusedMatMul", "MatMulInteger", "MatMulIntegerToFloat")
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcConv", "ConvInteger"), _convolution(1)),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys((*_PRODUCTS, "MatMulNBits", "DynamicQuantizeMatMul"), _product),
    **dict.fromkeys(("QLinearMatMul", "QGemm"), _product),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _recurrent),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "QAttention"), _attention),
}
# Whose multiply-adds are counted.
COUNTED = frozenset(_RULES)
