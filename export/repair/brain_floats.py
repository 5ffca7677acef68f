"""Replaces bfloat16 inside a graph by float32, if onnxruntime cannot compute it on a processor."""

from collections.abc import Iterator
from typing import Any

from onnx import TensorProto

from export.onnx.graph import nodes_of
from export.onnx.model_proto import open_model
from export.rewrites.single_precision import widen_halves

_BRAIN = TensorProto.BFLOAT16


def widen_brain_floats(model: Any) -> list[str]:
    """Change the model in place. Returns a note in words.

    Every bfloat16 is exact in float32, so answers lose only the rounding between operators."""
    if _BRAIN not in _find_types(model.graph) or _opens(model):
        return []
    widen_halves(model.graph, (_BRAIN,))
    return ["bfloat16 became float32, because onnxruntime has too few operators for it on a processor"]


def _find_types(graph: Any) -> Iterator[int]:
    yield from (tensor.data_type for tensor in graph.initializer)
    for node in nodes_of(graph):
        for attribute in node.attribute:
            yield from (attribute.i, attribute.t.data_type)
            yield from (
                tensor.data_type for inner in (attribute.g, *attribute.graphs) for tensor in inner.initializer
            )


def _opens(model: Any) -> bool:
    try:
        open_model(model)
    except Exception:  # onnxruntime raises a dozen unrelated classes
        return False
    return True
