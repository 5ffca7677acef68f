"""Borders: rows first, in types that every client can write, whatever the graph inside takes and gives."""

from collections.abc import Mapping
from typing import Any

from onnx import TensorProto

from export.onnx.graph import Step, insert

_HALF = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}


def widen(graph: Any) -> list[str]:
    """Take and give float32 where the file has half floats, which JSON does not carry; what was done, in
    words."""
    halves = {
        item.name: int(item.type.tensor_type.elem_type)
        for item in (*graph.input, *graph.output)
        if item.type.tensor_type.elem_type in _HALF
    }
    for item in (*graph.input, *graph.output):
        if item.name in halves:
            item.type.tensor_type.elem_type = TensorProto.FLOAT
    insert(graph.input, graph, lambda name: ("Cast", {"to": halves[name]}) if name in halves else None)
    to_float: Step = ("Cast", {"to": int(TensorProto.FLOAT)})
    insert(graph.output, graph, lambda name: to_float if name in halves else None)
    return [f"{name!r} cast between float32 and {_HALF[kind]}" for name, kind in halves.items()]


def turn(
    graph: Any, inputs: Mapping[str, int], outputs: Mapping[str, int], ranks: Mapping[str, int]
) -> list[str]:
    """Move the rows, which inside lie along these axes, to the front of inputs and outputs of so many
    dimensions; what was done, in words. The sizes that they declare must be set anew."""
    insert(graph.input, graph, lambda name: _transpose(_inward(inputs[name], ranks[name])))
    insert(graph.output, graph, lambda name: _transpose(_outward(outputs[name], ranks[name])))
    moved = {name: axis for name, axis in {**inputs, **outputs}.items() if axis}
    return [f"the batch of {name!r} moved from axis {axis} to the front" for name, axis in moved.items()]


def _transpose(order: list[int]) -> Step:
    return None if order == sorted(order) else ("Transpose", {"perm": order})


def _inward(axis: int, rank: int) -> list[int]:
    return [*range(1, axis + 1), 0, *range(axis + 1, rank)]


def _outward(axis: int, rank: int) -> list[int]:
    return [axis, *(other for other in range(rank) if other != axis)]
