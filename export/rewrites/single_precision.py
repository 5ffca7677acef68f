"""Converts a graph that computes in half precision to single precision.

onnxruntime's tools recognize layers by their float32 weights, and its CPU kernels compute in float32 anyway,
between casts that it adds when it loads the file."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from export.answer_distance import largest_apart
from export.data.datasets import Split
from export.errors import StepFailed
from export.onnx.model_proto import load, make_graph
from export.onnx.stored_tensor import read_array
from export.rewrites.rewrite_check import compare
from serve.bundles.onnx_graph import Graph

# Relative to the usual size in each place. One rounding to 16 bits changes a value by at most 1/2048 of
# itself; a hundred layers, if all errors add up, by 5 %.
HALF_ROUNDING = 0.05
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# Attributes that name the output type of a node.
_TYPES = ("to", "dtype", "output_dtype", "output_datatype")


def to_single(graph: Graph, split: Split) -> Graph:
    """Return the graph with float32 instead of inner half floats, and prove on rows of the split that it
    answers like the original.

    Raises StepFailed if the answers differ by more than rounding to 16 bits explains."""
    model = load(graph)
    if not widen_halves(model.graph):
        return graph
    single = make_graph(model)
    share = max(largest_apart(new, old, coarse=True) for old, new in compare(graph, single, split))
    if not share <= HALF_ROUNDING:
        raise StepFailed(
            f"in 32-bit floats the graph, which has 16-bit ones, answers up to {share:.2g} of a value away "
            f"from before, on calibration rows; at most {HALF_ROUNDING:g} can be rounding: it overflows, or "
            "lives on its rounding; start from the file as it was in 32-bit floats"
        )
    return single


def widen_halves(graph: Any, halves: Collection[int] = _HALVES) -> bool:
    """Convert all tensors of these types to float32, in place; return whether anything changed."""
    changed = False
    for item in (*graph.input, *graph.output, *graph.value_info):
        for tensor in _tensor_types(item.type):
            if tensor.elem_type in halves:
                tensor.elem_type, changed = TensorProto.FLOAT, True
    for tensor in _tensors(graph):
        if tensor.data_type in halves:
            array = read_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
            changed = True
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _TYPES and attribute.i in halves:
                attribute.i, changed = TensorProto.FLOAT, True
            for inner in (attribute.g, *attribute.graphs):
                changed |= widen_halves(inner, halves)
    return changed


def _tensors(graph: Any) -> Iterator[Any]:
    """Return every tensor in the graph except those of inner graphs."""
    yield from (*graph.initializer, *(item.values for item in graph.sparse_initializer))
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            yield from (item.values for item in (attribute.sparse_tensor, *attribute.sparse_tensors))


def _tensor_types(kind: Any) -> Iterator[Any]:
    """Return the tensor types within a type: itself, or the elements of a sequence, an optional or a map."""
    match kind.WhichOneof("value"):
        case "tensor_type":
            yield kind.tensor_type
        case "sparse_tensor_type":
            yield kind.sparse_tensor_type
        case "sequence_type":
            yield from _tensor_types(kind.sequence_type.elem_type)
        case "optional_type":
            yield from _tensor_types(kind.optional_type.elem_type)
