"""Decides whether the answers to the same rows, in runs of different sizes, differ by more than rounding.

Kernels add in another order if a run has another size, so answers differ in their last bits. If a graph
quantizes its activations, one of them may round to the next integer."""

from typing import Any

import onnx
from numpy.typing import NDArray

from export.answer_distance import SAME_FLOATS, largest_apart
from export.onnx.graph import nodes_of
from export.onnx.last_bits import measure_rounding
from export.onnx.model_proto import load
from serve.base.tensor import Arrays
from serve.bundles.onnx_graph import Graph

# Tolerance relative to the largest number if activations have few bits: eight steps of 8 bits. Sums of
# integers are exact, so only a float that lies between two integers can move by a step.
_NEARLY_SAME = 8 / 255
# Share of rows whose integers or strings may differ: rounding may change which of two numbers is largest.
_FEW = 0.1
# In runs of fewer rows, a single row exceeds this share.
_ENOUGH_ROWS = 16
_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
# Parts of the names of operators that quantize activations. DequantizeLinear contains none of them.
_ROUNDING = ("Quantize", "QLinear", "Integer", "QGemm", "QAttention", "NBits")


def rounds_activations(model: Any) -> bool:
    """Whether the graph has activations of 8 or 16 bits."""
    return any(
        any(part in node.op_type for part in _ROUNDING)
        or (node.op_type == "Cast" and any(item.i in _HALVES for item in node.attribute if item.name == "to"))
        for node in nodes_of(model.graph)
    )


def are_other_answers(graph: Graph, inputs: Arrays, expected: Arrays, actual: Arrays) -> bool:
    """Whether `actual` differs by more than rounding from `expected`, the answers of one run to `inputs`."""
    model = load(graph)
    coarse = rounds_activations(model)
    suspects = [name for name in expected if _is_apart(expected[name], actual[name], coarse)]
    if not suspects or coarse or any(expected[name].dtype.kind != "f" for name in suspects):
        return bool(suspects)
    # A small difference of large numbers moves far relative to its size.
    moved = dict(
        zip([item.name for item in model.graph.output], measure_rounding(graph, inputs), strict=True)
    )
    return any(
        largest_apart(actual[name], expected[name], rounding=moved[name]) > SAME_FLOATS for name in suspects
    )


def _is_apart(expected: NDArray[Any], actual: NDArray[Any], coarse: bool) -> bool:
    if expected.dtype.kind == "f" or expected.shape != actual.shape:
        return largest_apart(actual, expected, coarse=coarse) > (_NEARLY_SAME if coarse else SAME_FLOATS)
    if coarse or len(expected) < _ENOUGH_ROWS:
        return False
    return bool((expected != actual).reshape(len(expected), -1).any(axis=1).mean() > _FEW)
