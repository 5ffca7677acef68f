"""Turns Constant nodes into initializers, where the steps find weights."""

from collections.abc import Iterator
from math import prod
from typing import Any

import onnx

from export.onnx.graph import free_name, rename, values_of


def hoist(model: Any) -> Any:
    """Change the model in place: Constant nodes that hold a tensor and are not outputs become initializers.

    Graphs inside nodes keep theirs."""
    graph = model.graph
    outputs = {item.name for item in graph.output}
    kept = []
    for node in graph.node:
        values = [item.t for item in node.attribute if item.name == "value"]
        if node.op_type == "Constant" and values and node.output[0] not in outputs:
            tensor = graph.initializer.add()
            tensor.CopyFrom(values[0])
            tensor.name = node.output[0]
        else:
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(kept)
    return model


def name_apart(model: Any) -> Any:
    """Change the model in place: give the initializers of inner graphs unique names, since the branches of an
    If may share names."""
    names = values_of(model.graph)
    for inner in _inner_graphs(model.graph):
        renamed: dict[str, str] = {}
        for item in inner.initializer:
            renamed[item.name] = free_name(f"{item.name}_inside", names)
            names.add(renamed[item.name])
        rename(inner, renamed)
    return model


def count_numbers(graph: Any, kind: int) -> int:
    """Count the numbers of this type in the initializers, including those of inner graphs."""
    initializers = [item for each in (graph, *_inner_graphs(graph)) for item in each.initializer]
    return sum(prod(item.dims) for item in initializers if item.data_type == kind)


def _inner_graphs(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        for attribute in node.attribute:
            graphs = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            for inner in graphs:
                yield inner
                yield from _inner_graphs(inner)
