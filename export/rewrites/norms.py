"""Norms: a skip connection that stays out of onnxruntime's SkipLayerNormalization.

Its kernel takes 3.1 ms where LayerNormalization takes 0.4 ms and the addition next to nothing (1.31, 8 x 128
x 384 floats, one thread), and it comes with every file that has an Add before a LayerNormalization."""

from typing import Any


def unskip(model: Any) -> int:
    """Write every Add whose sum a LayerNormalization reads as a Sum, which no pattern of onnxruntime's knows,
    in place; how many there were."""
    read = {node.input[0] for node in model.graph.node if node.op_type == "LayerNormalization"}
    found = [node for node in model.graph.node if node.op_type == "Add" and node.output[0] in read]
    for node in found:
        node.op_type = "Sum"
    return len(found)
