"""Tolerance: how far apart the answers to the same rows may be in runs of other sizes.

Kernels add up in another order where a run has another size, so that answers differ in their last bits. Where
a graph rounds its activations, one of them may go the other way."""

from typing import Any

import onnx
from numpy.typing import NDArray

from export.nearness import SAME_FLOATS, largest_apart
from export.onnx.graph import nodes_of
from export.onnx.last_bits import measure_rounding
from serve.base.tensor import Arrays

# Of the largest number, where activations have few bits: eight steps of 8 bits. Integers add up exactly, so a
# step is lost only where a float beside two of them is rounded the other way.
_NEARLY_SAME = 8 / 255
# Of the rows that have whole numbers or strings: the largest of two that rounding moves may be another one.
_FEW = 0.1
# Of fewer rows, one is more than a few.
_ENOUGH_ROWS = 16
_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
# Parts of the names of operators that round activations; DequantizeLinear is none of them.
_ROUNDING = ("Quantize", "QLinear", "Integer", "QGemm", "QAttention", "NBits")


def rounds_activations(model: Any) -> bool:
    """Whether the graph computes with activations of 8 or 16 bits."""
    return any(
        any(part in node.op_type for part in _ROUNDING)
        or (node.op_type == "Cast" and any(item.i in _HALVES for item in node.attribute if item.name == "to"))
        for node in nodes_of(model.graph)
    )


def are_other_answers(graph: bytes, inputs: Arrays, wanted: Arrays, came: Arrays) -> bool:
    """Whether `came` is more than rounding away from what one run of the graph made of these inputs."""
    model = onnx.load_from_string(graph)
    coarse = rounds_activations(model)
    suspects = [name for name in wanted if _is_apart(wanted[name], came[name], coarse)]
    if not suspects or coarse or any(wanted[name].dtype.kind != "f" for name in suspects):
        return bool(suspects)
    # The rest of larger numbers moves far for its size.
    moved = dict(
        zip([item.name for item in model.graph.output], measure_rounding(graph, inputs), strict=True)
    )
    return any(
        largest_apart(came[name], wanted[name], rounding=moved[name]) > SAME_FLOATS for name in suspects
    )


def _is_apart(wanted: NDArray[Any], came: NDArray[Any], coarse: bool) -> bool:
    if wanted.dtype.kind == "f" or wanted.shape != came.shape:
        return largest_apart(came, wanted, coarse=coarse) > (_NEARLY_SAME if coarse else SAME_FLOATS)
    if coarse or len(wanted) < _ENOUGH_ROWS:
        return False
    return bool((wanted != came).reshape(len(wanted), -1).any(axis=1).mean() > _FEW)
