"""Keeps skip connections out of onnxruntime's SkipLayerNormalization.

Its kernel takes 3.1 ms, while LayerNormalization takes 0.4 ms and the addition almost nothing (1.31, 8 x 128
x 384 floats, one thread). onnxruntime uses it for every Add before a LayerNormalization."""

from typing import Any


def unskip(model: Any) -> int:
    """Replace every Add whose result a LayerNormalization reads by a Sum, which no onnxruntime pattern
    matches, in place. Returns their number."""
    read = {node.input[0] for node in model.graph.node if node.op_type == "LayerNormalization"}
    additions = [node for node in model.graph.node if node.op_type == "Add" and node.output[0] in read]
    for node in additions:
        node.op_type = "Sum"
    return len(additions)
