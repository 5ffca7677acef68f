"""Finds the operators of a graph whose weights can become integers, and their names."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from export.onnx.graph import free_name, values_of
from export.quantization.prepare import TRANSPOSED

FLOAT, DOUBLE = int(onnx.TensorProto.FLOAT), int(onnx.TensorProto.DOUBLE)
# Operator -> which of its inputs are weights.
WEIGHTS = {"Conv": (1,), "Gemm": (1,), "MatMul": (1,), "Attention": (1,), "LSTM": (1, 2), "Gather": (0,)}
# Operators that add a bias to a product, with the first input that may be the bias.
_BIASED = {"Add": 0, "Sum": 0, "BiasGelu": 1, "SkipLayerNormalization": 4}
# A smaller table saves less than the cost of the two operators that dequantize its rows.
LEAST_TABLE_WEIGHTS = 4096


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operator with constant float weights."""

    # The unique name of the node.
    node: str
    operator: str
    # The initializers that hold its weights.
    weights: tuple[str, ...]
    # Its path in the torch module, such as `encoder.layer.0.output.dense`; otherwise the node's name.
    path: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a recipe's pattern may match."""
        return (self.path, self.node, *self.weights)


def find_layers(model: Any, operators: Iterable[str], kind: int = FLOAT) -> tuple[Layer, ...]:
    """Return the nodes of these operators with constant weights of this type, in the graph's order; every
    node must have a name. A Gather counts if it looks up the rows of a table."""
    constants = {item.name: item for item in model.graph.initializer}
    readers = _readers(model)
    layers = []
    for node in model.graph.node:
        if node.op_type not in operators:
            continue
        weights = tuple(node.input[index] for index in WEIGHTS[node.op_type])
        if all(_is_of(kind, constants.get(name)) for name in weights) and _fits(node, constants):
            layers.append(
                Layer(
                    node=node.name,
                    operator=node.op_type,
                    weights=weights,
                    path=_path(node, constants, readers),
                )
            )
    return tuple(layers)


def own_constants(model: Any, nodes: Collection[str]) -> Any:
    """Change the model in place: a weight that several nodes read, or one node in two ways, gets its own copy
    for each, since quantized copies may need different scales.

    A bias gets a copy for each node, because its scale depends on the node's input."""
    readers = _readers(model)
    for constant in list(model.graph.initializer):
        groups: dict[tuple[Any, ...] | None, list[Any]] = {}
        for node in readers.get(constant.name, []):
            groups.setdefault(_way(node, constant.name) if node.name in nodes else None, []).append(node)
        for way, members in groups.items():
            if way is not None and len(groups) > 1:
                copied = model.graph.initializer.add()
                copied.CopyFrom(constant)
                copied.name = free_name(f"{constant.name}_of_{members[0].name}", values_of(model.graph))
                for node in members:
                    node.input[way[0]] = copied.name
    return model


def _way(node: Any, constant: str) -> tuple[Any, ...] | None:
    """Return how a node uses a constant: at which input, and what determines its scales."""
    index = list(node.input).index(constant)
    if node.op_type not in ("Conv", "Gemm", "MatMul") or index == 0:
        return None
    return (1, node.op_type, _is_transposed(node)) if index == 1 else (index, node.name)


def group(layers: Iterable[Layer], most: int) -> dict[str, tuple[Layer, ...]]:
    """Return the layers in at most `most` blocks if their paths allow it: single layers, or siblings merged
    level by level, such as `encoder.layer.0.output.dense` into `encoder.layer.0.output`."""
    names = {layer: layer.path for layer in layers}
    while len(set(names.values())) > most:
        shorter = {layer: re.sub(r"[./][^./]*$", "", name) for layer, name in names.items()}
        if shorter == names:
            break
        names = shorter
    return {
        block: tuple(layer for layer, name in names.items() if name == block)
        for block in dict.fromkeys(names.values())
    }


def _is_of(kind: int, constant: Any) -> bool:
    return constant is not None and constant.data_type == kind


def _fits(node: Any, constants: Mapping[str, Any]) -> bool:
    if node.op_type == "MatMul":
        return len(constants[node.input[1]].dims) == 2 and node.input[0] not in constants
    if node.op_type == "Gather":
        table = constants[node.input[0]]
        axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
        enough = math.prod(table.dims) >= LEAST_TABLE_WEIGHTS
        return axis == 0 and len(table.dims) == 2 and enough and node.input[1] not in constants
    return True


def _is_transposed(node: Any) -> bool:
    return any(item.name == "transB" and item.i for item in node.attribute)


def _readers(model: Any) -> dict[str, list[Any]]:
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _path(node: Any, constants: Mapping[str, Any], readers: Mapping[str, list[Any]]) -> str:
    """torch's exporter renames a linear layer's weight when it transposes it, but never its bias."""
    weight = node.input[WEIGHTS[node.op_type][0]]
    biases = [*node.input[2:3]]
    for reader in readers.get(node.output[0], []):
        if reader.op_type in _BIASED:
            biases += reader.input[_BIASED[reader.op_type] :]
    for name in (weight, *(name for name in biases if name in constants)):
        if match := re.fullmatch(rf"(.+)\.(weight({TRANSPOSED})?|bias)", name):
            return match.group(1)
    return str(node.name)
