"""Replaces outputs that are maps from class to score by their scores."""

from collections.abc import Collection
from typing import Any

import onnx

_FLOAT = onnx.TensorProto.FLOAT


def unwrap_maps(graph: Any, names: Collection[str]) -> list[str]:
    """Change the graph in place: an output among `names` that ZipMap makes becomes the tensor of its scores,
    [rows, classes]. Returns notes in words.

    skl2onnx ends every classifier with a ZipMap unless it is told otherwise, and a list of maps cannot be
    served."""
    makers = {name: node for node in graph.node for name in node.output}
    notes = []
    for item in graph.output:
        node = makers.get(item.name)
        if item.name not in names or node is None or node.op_type != "ZipMap":
            continue
        classes = _read_classes(node)
        node.CopyFrom(onnx.helper.make_node("Identity", node.input, node.output, node.name))
        item.CopyFrom(onnx.helper.make_tensor_value_info(item.name, _FLOAT, [None, len(classes)]))
        notes.append(
            f"the output {item.name!r}, a map from class to score, became a tensor; its scores are those of "
            f"{', '.join(classes)}"
        )
    return notes


def _read_classes(node: Any) -> list[str]:
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings":
            return [label.decode() for label in attribute.strings]
        if attribute.name == "classlabels_int64s":
            return [str(label) for label in attribute.ints]
    return []
