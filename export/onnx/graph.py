"""Graph: what this room reads from an ONNX graph, and how it makes two equal graphs equal bytes."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import onnx

from export.errors import ExportFailed
from export.onnx.model_proto import check_model, load, make_graph
from serve.bundles.onnx_graph import Graph

# An operator and its attributes; None: nothing is to be done.
Step = tuple[str, dict[str, Any]] | None


def clean(model: Any) -> Graph:
    """The graph of the model, without notes for people: they carry paths of this machine and would change
    its digest."""
    _strip(model)
    _drop_unused_domains(model)
    # The order of initializers means nothing, and tools that walk a set shuffle it.
    ordered = sorted(model.graph.initializer, key=lambda initializer: str(initializer.name))
    del model.graph.initializer[:]
    model.graph.initializer.extend(ordered)
    graph = make_graph(model)
    check_model(model, graph)
    return graph


def read_opset(graph: Graph) -> int:
    """The version of the standard operators that the graph is written in."""
    return int(next(item.version for item in load(graph).opset_import if item.domain == ""))


def nodes_of(graph: Any) -> Iterator[Any]:
    """Every node, those of the graphs inside nodes too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)


def rename(graph: Any, renamed: Mapping[str, str]) -> None:
    """Call values otherwise, in the graph and in the graphs inside it, which may read its values."""
    for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        item.name = renamed.get(item.name, item.name)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                rename(inner, renamed)


def insert(items: Any, graph: Any, step_of: Callable[[str], Step]) -> None:
    """Put an operator between the graph and its inputs, or its outputs (`items`), which keep their names. An
    input that is an output, too, is given out as it came."""
    inward = items is graph.input
    inputs = {item.name for item in graph.input}
    for item in items:
        step = step_of(item.name)
        if step is None or (not inward and item.name in inputs):
            continue
        name, inner = item.name, free_name(f"{item.name}_inside", values_of(graph))
        rename(graph, {name: inner})
        for end in (*graph.input, *graph.output):
            end.name = name if end.name == inner else end.name
        ends = ([name], [inner]) if inward else ([inner], [name])
        called = free_name(f"{inner}_{step[0].lower()}", {node.name for node in nodes_of(graph)})
        node = onnx.helper.make_node(step[0], *ends, name=called, **step[1])
        rest = [type(other).FromString(other.SerializeToString()) for other in graph.node]
        del graph.node[:]
        graph.node.extend([node, *rest] if inward else [*rest, node])


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that is not taken."""
    while name in taken:
        name += "_"
    return name


def free_node_name(name: str, graph: Any) -> str:
    """The name, or one like it that no node of the graph has: onnxruntime refuses two nodes of one name."""
    return free_name(name, {node.name for node in graph.node})


def values_of(graph: Any) -> set[str]:
    """The names of all its values, those of the graphs inside it too."""
    names = {item.name for item in (*graph.input, *graph.output, *graph.initializer)}
    for node in nodes_of(graph):
        names.update((*node.input, *node.output))
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                names.update(item.name for item in (*inner.input, *inner.output, *inner.initializer))
    return names


def require_unique_names(model: Any) -> None:
    """Raise ExportFailed when two values of the graph share a name, as no runtime accepts that."""
    names = [item.name for item in (*model.graph.input, *model.graph.initializer)]
    names += [name for node in model.graph.node for name in node.output if name]
    for name, count in Counter(names).items():
        if count > 1:
            raise ExportFailed(
                f"{count} values of the graph are named {name!r}: an output may not be named like an input "
                "or an inner value; choose another name in the recipe's `outputs`"
            )


def _drop_unused_domains(model: Any) -> None:
    """onnxruntime's tools declare every operator set they know; a graph needs those it uses."""
    used = {node.domain for node in nodes_of(model.graph)}
    used |= {"", *(node.domain for item in model.functions for node in item.node)}
    kept = [item for item in model.opset_import if item.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _strip(message: Any) -> None:
    """Clear doc_string and metadata_props in every message below `message`."""
    for field in ("doc_string", "metadata_props"):
        if field in message.DESCRIPTOR.fields_by_name:
            message.ClearField(field)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in [value] if hasattr(value, "DESCRIPTOR") else value:
                _strip(child)
