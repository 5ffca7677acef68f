"""Cleans up a graph after its nodes were replaced."""

from typing import Any

import onnx

DOMAIN = "com.microsoft"


def finish(model: Any) -> Any:
    """Change the model in place: remove unused nodes, constants and value types, and declare onnxruntime's
    domain."""
    read = {item.name for item in model.graph.output}
    nodes = []
    for node in reversed(model.graph.node):
        if read & set(node.output):
            nodes.append(node)
            read |= names_read(node)
    made = {name for node in nodes for name in node.output}
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    for field, needed in ((model.graph.initializer, read), (model.graph.value_info, read | made)):
        kept = [item for item in field if item.name in needed]
        del field[:]
        field.extend(kept)
    if DOMAIN not in {item.domain for item in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    return model


def sort(model: Any) -> Any:
    """Change the model in place: sort its nodes topologically, keeping the order otherwise. Values that inner
    graphs read count, which onnxruntime's tools ignore."""
    makers = {name: place for place, node in enumerate(model.graph.node) for name in node.output if name}
    needs = [[makers[name] for name in names_read(node) if name in makers] for node in model.graph.node]
    placed: dict[int, None] = {}
    for place in range(len(needs)):
        left = [place]
        while left:
            missing = sorted({need for need in needs[left[-1]] if need not in placed}, reverse=True)
            if missing:
                left += missing
            else:
                placed[left.pop()] = None
    nodes = [type(node).FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes[place] for place in placed)
    return model


def names_read(node: Any) -> set[str]:
    """Return the values that the node reads, also in the bodies of an If or a Loop, without the bodies' own
    values."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            read = {item.name for item in inner.output}.union(*map(names_read, inner.node))
            own = {item.name for item in (*inner.input, *inner.initializer)}
            own.update(name for child in inner.node for name in child.output)
            names |= read - own
    return names
