"""Adds operators at the inputs and outputs, so that rows come first and all types can be sent by every
client."""

from collections.abc import Mapping
from typing import Any

from onnx import TensorProto

from export.onnx.graph import Step, insert

_HALF = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}


def widen(graph: Any) -> list[str]:
    """Replace half-float inputs and outputs by float32 with casts, because JSON does not represent half
    floats. Returns a note in words."""
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
    """Move the rows of inputs and outputs from these axes to the front. Returns a note in words.

    The declared sizes must be set again afterwards."""
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
