"""Accounts for a quantized model: how much became integers, and what did not and why."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from pydantic import JsonValue

from export.artifacts import Note
from export.onnx.graph import nodes_of
from export.onnx.stored_tensor import read_array
from export.proof.graph_cost import COUNTED, count_by_node
from export.quantization import dynamic, static
from export.quantization import embedding_tables as tables
from export.quantization import weight_only as weights
from export.quantization.layers import DOUBLE, LEAST_TABLE_WEIGHTS, WEIGHTS, Layer, find_layers
from export.quantization.operator_trial import TrialPlan
from export.rewrites.wiring import Wiring
from serve.base.tensor import Arrays

# Method -> the operators that it quantizes.
OPERATORS = {"static": static.OPERATORS, "dynamic": dynamic.OPERATORS, "weights": weights.OPERATORS}
_IN_DOUBLE = "its weights are float64, and only float32 ones become integers"
# Size of a weight in bytes, by type.
_BYTES = {
    int(onnx.TensorProto.DOUBLE): 8,
    int(onnx.TensorProto.FLOAT): 4,
    int(onnx.TensorProto.FLOAT16): 2,
    int(onnx.TensorProto.BFLOAT16): 2,
}
# Below this share, a variant counts as mostly float.
_LEAST_SHARE = 0.5


def account(
    plan: TrialPlan, quantized: Any, layers: Sequence[Layer], reasons: Mapping[str, str], row: Arrays
) -> Note:
    """Return the note on the quantized graph.

    `layers` are those that the method supports in the float model; `reasons` say why nodes were left in
    float; multiply-adds are those for this row. It is mostly float if less than half of the weight bytes or
    of the multiply-adds are integers; a weight-only method is judged by the bytes alone, because it does no
    integer multiply-adds."""
    still = _find_still_float(quantized, layers)
    integers = {layer.node for layer in layers if layer not in still}
    cost_of = count_by_node(plan.model, row)
    working = {node.name for node in plan.model.graph.node if node.op_type in COUNTED and cost_of[node.name]}
    working |= {layer.node for layer in find_layers(plan.model, tables.OPERATORS)}
    done = sum(cost_of[name] for name in integers - _find_idle(quantized))
    shares = {
        "weight_bytes": _share_of_weights(
            plan.model, quantized, [item for item in layers if item.node in integers]
        ),
        "multiply_adds": done / max(1, sum(cost_of.values())),
    }
    note: Note = {
        "integers": {name: round(share, 6) for name, share in shares.items()},
        "stays_float": _explain(plan, working - integers, reasons, _find_tied(plan.model, layers, integers)),
        "kept_float": [layer.path for layer in still],
        "quantized": len(integers),
    }
    judged = [shares["weight_bytes"]]
    if plan.settings.method != "weights" and any(cost_of.values()):
        judged.append(shares["multiply_adds"])
    if min(judged) < _LEAST_SHARE:
        note["mostly_float"] = (
            f"integers are {shares['weight_bytes']:.2%} of the bytes of weights and do "
            f"{shares['multiply_adds']:.2%} of the multiply-adds"
        )
    return note


def _find_still_float(quantized: Any, layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers whose nodes still read float weights."""
    constants = {item.name for item in quantized.graph.initializer}
    read = {(node.name, name) for node in quantized.graph.node for name in node.input if name in constants}
    return [layer for layer in layers if all((layer.node, name) in read for name in layer.weights)]


def _find_idle(quantized: Any) -> set[str]:
    """Return the nodes of which only the weights are integers: between QDQ pairs, a node computes in floats
    unless its input is quantized, too."""
    makers = Wiring(quantized).makers
    return {
        node.name
        for node in quantized.graph.node
        if node.op_type in static.OPERATORS
        and (node.input[0] not in makers or makers[node.input[0]].op_type != "DequantizeLinear")
    }


def _find_tied(model: Any, layers: Sequence[Layer], integers: set[str]) -> dict[str, list[str]]:
    """Map each looked-up table to the nodes that multiply with integers of the same matrix."""
    constants = {item.name: item for item in model.graph.initializer}
    tied: dict[str, list[str]] = {}
    for table in {weight for layer in find_layers(model, tables.OPERATORS) for weight in layer.weights}:
        tied[table] = [
            layer.node
            for layer in layers
            if layer.node in integers and layer.operator not in tables.OPERATORS
            if any(_is_same(constants[table], constants[name]) for name in layer.weights)
        ]
    return tied


def _is_same(one: Any, other: Any) -> bool:
    """Whether two matrices are equal, or one is the other's transpose."""
    if sorted(one.dims) != sorted(other.dims):
        return False
    first, second = read_array(one), read_array(other)
    return np.array_equal(first, second) or np.array_equal(first, second.T)


def _share_of_weights(model: Any, quantized: Any, integers: Sequence[Layer]) -> float:
    """Return the share of the weight bytes that became integers; a weight that the file stores in both forms
    counts as both."""
    sizes = {item.name: _count_bytes(item) for item in model.graph.initializer}
    became = {name for layer in integers for name in layer.weights}
    both = became & {item.name for item in quantized.graph.initializer}
    inner = (_count_bytes(tensor) for tensor in _inner_tensors(model.graph))
    total = sum(sizes.values()) + sum(sizes[name] for name in both) + sum(inner)
    return float(sum(sizes[name] for name in became) / max(1, total))


def _count_bytes(tensor: Any) -> int:
    """Return the bytes of a float tensor; single numbers are not weights."""
    return prod(tensor.dims) * _BYTES.get(tensor.data_type, 0) if tensor.dims else 0


def _inner_tensors(graph: Any) -> Iterator[Any]:
    """Return the tensors of inner graphs."""
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer
                yield from (item.t for child in inner.node for item in child.attribute)
                yield from _inner_tensors(inner)


def find_inside(model: Any) -> dict[str, list[JsonValue]]:
    """Return what is left alone because it is in an inner graph: reason -> names. A lookup counts if its
    table could be quantized elsewhere."""
    tensors = (*model.graph.initializer, *_inner_tensors(model.graph))
    tables_held = {
        item.name for item in tensors if _count_bytes(item) and prod(item.dims) >= LEAST_TABLE_WEIGHTS
    }
    groups: dict[str, list[JsonValue]] = {}
    for node in model.graph.node:
        graphs = [inner for item in node.attribute for inner in (item.g, *item.graphs)]
        for child in (child for graph in graphs for child in nodes_of(graph)):
            if child.op_type in COUNTED or (child.op_type == "Gather" and child.input[0] in tables_held):
                reason = f"it is in a graph inside {node.op_type} {node.name!r}"
                groups.setdefault(reason, []).append(child.name or child.output[0])
    return groups


def _explain(
    plan: TrialPlan, nodes: set[str], reasons: Mapping[str, str], tied: Mapping[str, list[str]]
) -> dict[str, JsonValue]:
    """Return why these nodes are not quantized: reason -> names."""
    doubles = {layer.node: layer.path for layer in find_layers(plan.model, WEIGHTS, DOUBLE)}
    paths = {layer.node: layer.path for layer in find_layers(plan.model, WEIGHTS)} | doubles
    reasons = {**dict.fromkeys(doubles, _IN_DOUBLE), **reasons}
    constants = {item.name for item in plan.model.graph.initializer}
    groups: dict[str, list[JsonValue]] = {}
    for node in plan.model.graph.node:
        if node.name in nodes:
            reason = reasons.get(node.name) or _reason(node, constants, plan.settings.method)
            if node.op_type == "Gather" and (others := tied.get(node.input[0])):
                reason += ": the file holds the table in floats for its rows, and once more in integers for "
                reason += f"{', '.join(others)}; with `embeddings: true` both are integers"
            groups.setdefault(reason, []).append(paths.get(node.name, node.name))
    return {**groups, **find_inside(plan.model)}


def _reason(node: Any, constants: set[str], method: str) -> str:
    if node.op_type == "Gather":
        return "`embeddings: false`"
    if node.op_type not in OPERATORS[method]:
        others = [name for name, operators in OPERATORS.items() if node.op_type in operators]
        return f"`method: {method}` has no integers for {node.op_type}" + (
            f"; {' and '.join(others)} has" if others else ""
        )
    if not constants & set(node.input):
        return "both factors depend on the row"
    return "its weights are not a constant matrix on the right of its input"
