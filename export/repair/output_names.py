"""Selects and renames the outputs of a file that a recipe names."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import onnx

from export.errors import ExportFailed
from export.onnx.graph import free_name, rename, values_of
from export.repair.class_maps import unwrap_maps
from serve.base.record import nearest


def select_outputs(graph: Any, outputs: Mapping[str, str], inputs: Collection[str]) -> list[str]:
    """Keep only these outputs (name for clients -> name in the file), the nodes they depend on, and the
    inputs in the data. Returns notes in words. Raises ExportFailed."""
    unwrapped = unwrap_maps(graph, outputs.values())
    known = {item.name: item for item in graph.output}
    for name in outputs.values():
        if name not in known:
            raise ExportFailed(f"the file has no output {name!r}; {nearest(name, known)}")
        kind = known[name].type.WhichOneof("value")
        if kind != "tensor_type":
            raise ExportFailed(
                f"the output {name!r} is a {kind.removesuffix('_type')}, not a tensor; name other outputs"
            )
    kept = [_copy(known[name]) for name in outputs.values()]
    del graph.output[:]
    graph.output.extend(kept)
    idle = _drop_unused(graph, inputs)
    _name_outputs(graph, _part(graph, outputs))
    return unwrapped + [
        f"the input {name!r} is taken as the file declares it, and no output depends on it" for name in idle
    ]


def _part(graph: Any, outputs: Mapping[str, str]) -> Mapping[str, str]:
    """Return the outputs. An output that is an input under another name becomes its own value, because
    renaming it would rename the input."""
    inputs = {item.name for item in graph.input}
    parted: dict[str, str] = {}
    for item, (new, old) in zip(graph.output, outputs.items(), strict=True):
        if old in inputs and new != old:
            item.name = free_name(f"{old}_again", values_of(graph) | set(outputs))
            graph.node.append(onnx.helper.make_node("Identity", [old], [item.name], f"{item.name}_identity"))
        parted[new] = item.name
    return parted


def _name_outputs(graph: Any, outputs: Mapping[str, str]) -> None:
    inputs = {item.name for item in graph.input}
    changed = {old: new for new, old in outputs.items() if new != old}
    if duplicates := sorted(inputs & set(changed.values())):
        raise ExportFailed(
            f"the output {duplicates[0]!r} has the name of an input; choose another name in the "
            "recipe's `outputs`"
        )
    names = values_of(graph) | set(outputs)
    # An inner value of the same name is renamed.
    for name in sorted(set(changed.values()) & (values_of(graph) - changed.keys())):
        changed[name] = free_name(f"{name}_inner", names)
        names.add(changed[name])
    rename(graph, changed)


def _drop_unused(graph: Any, kept_inputs: Collection[str]) -> list[str]:
    """Remove everything that no output depends on, except the inputs in the data and inputs that name a
    weight.

    Returns the names of the inputs that are kept although no output depends on them."""
    needed = {item.name for item in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(_reads(node))
    weights = {item.name for item in graph.initializer}
    weights |= {item.values.name for item in graph.sparse_initializer}
    inputs = [item for item in graph.input if item.name not in weights]
    idle = [item.name for item in inputs if item.name in kept_inputs and item.name not in needed]
    kept = {
        "node": nodes[::-1],
        "initializer": [item for item in graph.initializer if item.name in needed],
        "sparse_initializer": [item for item in graph.sparse_initializer if item.values.name in needed],
        "input": [item for item in inputs if item.name in needed or item.name in idle],
    }
    for field, items in kept.items():
        copies = [_copy(item) for item in items]
        graph.ClearField(field)
        getattr(graph, field).extend(copies)
    return idle


def _reads(node: Any) -> Iterator[str]:
    """Return the values that the node reads, including those read by its inner graphs."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            yield from (item.name for item in inner.output)
            for child in inner.node:
                yield from _reads(child)


def _copy(item: Any) -> Any:
    return type(item).FromString(item.SerializeToString())
