"""Measures how far a graph's answers move when its weights change in their last bits.

Additions in another order move them about as far. An answer that is a difference of larger numbers, such as
that of a Sigmoid or a Gelu near 0, moves far relative to its size, and any other order of computation is
equally right."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from serve.base.tensor import Arrays
from serve.bundles.graph_session import open_graph

# A separate operator adds a bias after many products.
_SUMS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Attention", "Add")
# The change, in units in the last place: enough that sums round differently.
_OFF = 4
# A single draw may by chance move an answer very little.
_TIMES = 8


def measure_rounding(graph: bytes, inputs: Arrays) -> list[NDArray[np.float64]]:
    """Return, for each output in the graph's order, how far each number moves at most on these rows; 0 for
    outputs that are not floats."""
    answers = _ask(graph, inputs)
    moved = [np.zeros(answer.shape) for answer in answers]
    for other in _spoil(graph):
        for index, (actual, expected) in enumerate(zip(_ask(other, inputs), answers, strict=True)):
            if expected.dtype.kind == "f" and actual.shape == expected.shape:
                one, two = actual.astype(np.float64), expected.astype(np.float64)
                off = np.abs(np.subtract(one, two, out=np.zeros(one.shape), where=one != two))
                moved[index] = np.fmax(moved[index], np.where(np.isfinite(off), off, 0.0))
    return moved


def _spoil(graph: bytes) -> Iterator[bytes]:
    model = onnx.load_from_string(graph)
    read = {name for node in model.graph.node if node.op_type in _SUMS for name in node.input}
    weights = [
        (item, numpy_helper.to_array(item))
        for item in model.graph.initializer
        if item.name in read and item.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    ]
    random = np.random.default_rng(0)
    for _ in range(_TIMES):
        for item, array in weights:
            factors = 1 + _OFF * np.finfo(array.dtype).eps * random.uniform(-1, 1, array.shape)
            item.CopyFrom(numpy_helper.from_array((array * factors).astype(array.dtype), item.name))
        yield bytes(model.SerializeToString())


def _ask(graph: bytes, inputs: Arrays) -> list[NDArray[Any]]:
    answers: list[NDArray[Any]] = open_graph(graph).run(None, dict(inputs))
    return answers
