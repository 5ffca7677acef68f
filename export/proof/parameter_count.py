"""Counts the weights of an ONNX graph (floats, and integers that represent floats) and their zeros."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from export.onnx.graph import nodes_of
from export.onnx.stored_tensor import read_array

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_SMALL_INTEGERS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4)
# Operator -> inputs that describe quantization: scales, zero points, permutations.
_SCALES: dict[str, tuple[int, ...]] = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "QAttention": (3, 4, 6, 7),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "DynamicQuantizeMatMul": (2, 3),
    "DynamicQuantizeLSTM": (8, 9, 10, 11),
    "MatMulNBits": (2, 3, 4),
    "GatherBlockQuantized": (2, 3),
}
# Operator -> integer weight -> its zero point (the integer that represents 0).
_ZERO_POINTS: dict[str, dict[int, int]] = {
    "DequantizeLinear": {0: 2},
    "QLinearConv": {3: 5},
    "QLinearMatMul": {3: 5},
    "QGemm": {3: 5},
    "QAttention": {1: 7},
    "ConvInteger": {1: 3},
    "MatMulInteger": {1: 3},
    "MatMulIntegerToFloat": {1: 5},
    "DynamicQuantizeMatMul": {1: 3},
    "DynamicQuantizeLSTM": {1: 9, 2: 11},
}
# Quantized biases are 32-bit integers.
_BIASES = {"DequantizeLinear": 0, "QLinearConv": 8, "QGemm": 6}


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The number of weights, and the number of non-zero ones."""

    count: int
    nonzero: int


def count_parameters(model: Any) -> Parameters:
    """Count the weights of an ONNX model and of the graphs inside its nodes, without scales, zero points and
    single numbers, so that the count is the same before and after quantization."""
    counts = [_count(graph) for graph in _graphs(model.graph)]
    return Parameters(count=sum(item.count for item in counts), nonzero=sum(item.nonzero for item in counts))


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _graphs(inner)


def _count(graph: Any) -> Parameters:
    """Count the weights stored in the graph itself, including those that only inner graphs read."""
    constants, nodes = _constants(graph), list(nodes_of(graph))
    scales = set(_scales(nodes, constants))
    uses = {name: (node, at) for node in reversed(nodes) for at, name in enumerate(node.input)}
    count = nonzero = 0
    for name in sorted(constants.keys() - scales):
        if name not in uses or not _is_weight(constants[name], *uses[name]):
            continue
        node, at = uses[name]
        if node.op_type == "MatMulNBits":
            values, zero = _unpack(node, constants)
        else:
            values = read_array(constants[name])
            zero = _zero_point(node, at, constants, values.ndim)
        count += values.size
        nonzero += int(np.count_nonzero(values != zero))
    return Parameters(count=count, nonzero=nonzero)


def _constants(graph: Any) -> dict[str, Any]:
    constants = {item.name: item for item in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                constants[node.output[0]] = attribute.t
    return constants


def _is_weight(constant: Any, node: Any, at: int) -> bool:
    if not constant.dims:
        return False
    if constant.data_type == TensorProto.INT32:
        return _BIASES.get(node.op_type) == at
    return constant.data_type in (*_FLOATS, *_SMALL_INTEGERS)


def _scales(nodes: list[Any], constants: dict[str, Any]) -> Iterator[str]:
    makers = {name: node for node in nodes for name in node.output}
    for node in nodes:
        yield from (node.input[at] for at in _SCALES.get(node.op_type, ()) if at < len(node.input))
        if node.op_type == "Mul":
            for name, other in (tuple(node.input), tuple(reversed(node.input))):
                if _is_scale(makers.get(other), makers, constants):
                    yield name
                    yield from (makers[name].input if name in makers else ())


def _is_scale(maker: Any, makers: dict[str, Any], constants: dict[str, Any]) -> bool:
    """Whether the factor of this node's output is a quantization scale, either of a batch
    (DynamicQuantizeLinear) or of table rows that were looked up and converted to floats."""
    if maker is None or maker.op_type == "DynamicQuantizeLinear":
        return maker is not None
    lookup = makers.get(maker.input[0]) if maker.op_type == "Cast" else None
    if lookup is None or lookup.op_type != "Gather" or lookup.input[0] not in constants:
        return False
    return constants[lookup.input[0]].data_type in _SMALL_INTEGERS


def _zero_point(node: Any, at: int, constants: dict[str, Any], rank: int) -> NDArray[Any]:
    """Return the zero point in a shape that broadcasts to the weight."""
    place = _ZERO_POINTS.get(node.op_type, {}).get(at)
    name = node.input[place] if place is not None and place < len(node.input) else ""
    if name not in constants:
        return np.zeros((), np.int8)
    zero = read_array(constants[name])
    if zero.size == 1 or (zero == zero.flat[0]).all():
        return np.asarray(zero.flat[0])
    axis = _attributes(node).get("axis", 1) if node.op_type == "DequantizeLinear" else -1
    axis = 0 if node.op_type == "QLinearConv" else axis
    return np.expand_dims(zero, tuple(at for at in range(rank) if at != axis % rank))


def _unpack(node: Any, constants: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the integers of a MatMulNBits, [columns, rows], and their zero points."""
    known = _attributes(node)
    bits, block, rows = known.get("bits", 4), known["block_size"], known["K"]
    packed = read_array(constants[node.input[1]])
    columns = packed.shape[0]
    values = _split_bytes(packed.reshape(columns, -1), bits)[:, :rows]
    if len(node.input) < 4 or node.input[3] not in constants:
        return values, np.asarray(2 ** (bits - 1))
    zeros = read_array(constants[node.input[3]]).reshape(columns, -1)
    if zeros.dtype == np.uint8:
        zeros = _split_bytes(zeros, bits)
    return values, np.repeat(zeros, block, axis=1)[:, :rows]


def _split_bytes(packed: NDArray[Any], bits: int) -> NDArray[Any]:
    """Unpack [rows, bytes] to [rows, integers], with the lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    split: NDArray[Any] = (packed[:, :, None] >> shifts) & np.uint8(2**bits - 1)
    return split.reshape(len(packed), -1)


def _attributes(node: Any) -> dict[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
