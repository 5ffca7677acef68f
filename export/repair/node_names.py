"""Gives every named node a unique name, which onnxruntime requires."""

from collections import Counter
from typing import Any

from export.onnx.graph import nodes_of


def name_nodes(graph: Any) -> list[str]:
    """Number the nodes that share a name, starting with the second; values keep their names. Returns a note
    in words."""
    names = {node.name for node in nodes_of(graph)}
    numbers: Counter[str] = Counter()
    changed = 0
    for node in nodes_of(graph):
        name = node.name
        numbers[name] += 1
        if not name or numbers[name] == 1:
            continue
        while (free := f"{name}_{numbers[name]}") in names:
            numbers[name] += 1
        node.name = free
        names.add(free)
        changed += 1
    return [f"{changed} nodes that shared a name were numbered"] if changed else []
