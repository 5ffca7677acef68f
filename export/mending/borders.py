"""Borders: rows first, in types that every client can write, whatever the graph inside takes and gives."""

from collections.abc import Callable, Mapping
from typing import Any

from onnx import TensorProto, helper

from export.graph import rename, values_of

_HALF = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
# An operator and its attributes; None: nothing is to be done.
_Step = tuple[str, dict[str, Any]] | None


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
    _insert(graph.input, graph, lambda name: ("Cast", {"to": halves[name]}) if name in halves else None)
    to_float: _Step = ("Cast", {"to": int(TensorProto.FLOAT)})
    _insert(graph.output, graph, lambda name: to_float if name in halves else None)
    return [f"{name!r} cast between float32 and {_HALF[kind]}" for name, kind in halves.items()]


def turn(
    graph: Any, inputs: Mapping[str, int], outputs: Mapping[str, int], ranks: Mapping[str, int]
) -> list[str]:
    """Move the rows, which inside lie along these axes, to the front of inputs and outputs of so many
    dimensions; what was done, in words. The sizes that they declare must be set anew."""
    _insert(graph.input, graph, lambda name: _transpose(_inward(inputs[name], ranks[name])))
    _insert(graph.output, graph, lambda name: _transpose(_outward(outputs[name], ranks[name])))
    moved = {name: axis for name, axis in {**inputs, **outputs}.items() if axis}
    return [f"the batch of {name!r} moved from axis {axis} to the front" for name, axis in moved.items()]


def _insert(items: Any, graph: Any, step_of: Callable[[str], _Step]) -> None:
    """Put an operator between the graph and its inputs, or its outputs, which keep their names."""
    inward = items is graph.input
    for item in items:
        step = step_of(item.name)
        if step is None:
            continue
        name, inner = item.name, _free(f"{item.name}_inside", values_of(graph))
        rename(graph, {name: inner})
        item.name = name
        ends = ([name], [inner]) if inward else ([inner], [name])
        node = helper.make_node(step[0], *ends, name=f"{inner}_{step[0].lower()}", **step[1])
        rest = [_copy(other) for other in graph.node]
        del graph.node[:]
        graph.node.extend([node, *rest] if inward else [*rest, node])


def _copy(node: Any) -> Any:
    return type(node).FromString(node.SerializeToString())


def _transpose(order: list[int]) -> _Step:
    return None if order == sorted(order) else ("Transpose", {"perm": order})


def _inward(axis: int, rank: int) -> list[int]:
    return [*range(1, axis + 1), 0, *range(axis + 1, rank)]


def _outward(axis: int, rank: int) -> list[int]:
    return [axis, *(other for other in range(rank) if other != axis)]


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
