"""Outputs: those of a file that a recipe names, under the names that it gives them."""

from collections.abc import Iterator, Mapping
from typing import Any

from export.errors import ExportFailed
from export.graph import rename, values_of
from serve.record import nearest


def select_outputs(graph: Any, outputs: Mapping[str, str]) -> None:
    """Leave only these outputs, name on the wire -> name in the file, and what they depend on. Raises
    ExportFailed."""
    known = {item.name: item for item in graph.output}
    for name in outputs.values():
        if name not in known:
            raise ExportFailed(f"the file has no output {name!r}; {nearest(name, known)}")
        kind = known[name].type.WhichOneof("value")
        if kind != "tensor_type":
            raise ExportFailed(
                f"the output {name!r} is a {kind.removesuffix('_type')}, not a tensor; convert a "
                "scikit-learn model with options={'zipmap': False}, or name other outputs"
            )
    kept = [_copy(known[name]) for name in outputs.values()]
    del graph.output[:]
    graph.output.extend(kept)
    _drop_unused(graph)
    _name_outputs(graph, outputs)


def _name_outputs(graph: Any, outputs: Mapping[str, str]) -> None:
    inputs = {item.name for item in graph.input}
    changed = {old: new for new, old in outputs.items() if new != old}
    if taken := sorted(inputs & set(changed.values())):
        raise ExportFailed(
            f"the output {taken[0]!r} has the name of an input; choose another name in the recipe's `outputs`"
        )
    names = values_of(graph) | set(outputs)
    # An inner value of the same name makes room.
    for name in sorted(set(changed.values()) & (values_of(graph) - changed.keys())):
        free = f"{name}_inner"
        while free in names:
            free += "_"
        names.add(free)
        changed[name] = free
    rename(graph, changed)


def _drop_unused(graph: Any) -> None:
    """Remove what no output depends on, and inputs that only name a weight."""
    needed = {item.name for item in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(_reads(node))
    weights = {item.name for item in graph.initializer}
    weights |= {item.values.name for item in graph.sparse_initializer}
    kept = {
        "node": nodes[::-1],
        "initializer": [item for item in graph.initializer if item.name in needed],
        "sparse_initializer": [item for item in graph.sparse_initializer if item.values.name in needed],
        "input": [item for item in graph.input if item.name in needed and item.name not in weights],
    }
    for field, items in kept.items():
        copies = [_copy(item) for item in items]
        graph.ClearField(field)
        getattr(graph, field).extend(copies)


def _reads(node: Any) -> Iterator[str]:
    """What the node reads, the graphs inside it included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            yield from (item.name for item in inner.output)
            for child in inner.node:
                yield from _reads(child)


def _copy(item: Any) -> Any:
    return type(item).FromString(item.SerializeToString())
