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

from export.onnx.model_proto import load, make_graph
from export.onnx.stored_tensor import read_array
from serve.base.tensor import Arrays
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph

# A separate operator adds a bias after many products.
_SUMS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Attention", "Add")
# The change, in units in the last place: enough that sums round differently; for integers, which show only
# whether two numbers changed places, as many times more as a float may be off (answer_distance.py).
_OFF, _OFF_INTEGERS = 4, 16
# A single draw may by chance move an answer very little.
_TIMES = 8


def measure_rounding(graph: Graph, inputs: Arrays) -> list[NDArray[np.float64]]:
    """Return, for each output in the graph's order, how far each number moves at most on these rows: infinity
    for an integer, a flag or a string that becomes another."""
    answers = _ask(graph, inputs)
    moved = [np.zeros(answer.shape) for answer in answers]
    floats = [index for index, answer in enumerate(answers) if answer.dtype.kind == "f"]
    if floats:
        for other in _spoil(graph, (_OFF,)):
            new = _ask(other, inputs)
            for index in floats:
                moved[index] = np.fmax(moved[index], _measure_moves(answers[index], new[index]))
    if len(floats) < len(answers):
        # In both directions, as one of them leaves equal numbers in their order.
        for other in _spoil(graph, (_OFF_INTEGERS, -_OFF_INTEGERS)):
            for index, (before, after) in enumerate(zip(answers, _ask(other, inputs), strict=True)):
                if index not in floats and before.shape == after.shape:
                    moved[index] = np.where(before == after, moved[index], np.inf)
    return moved


def _measure_moves(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float64]:
    one, two = before.astype(np.float64), after.astype(np.float64)
    if one.shape != two.shape:
        return np.zeros(one.shape)
    off = np.abs(np.subtract(one, two, out=np.zeros(one.shape), where=one != two))
    return np.where(np.isfinite(off), off, 0.0)


def _spoil(graph: Graph, offs: tuple[int, ...]) -> Iterator[Graph]:
    random = np.random.default_rng(0)
    for _ in range(_TIMES):
        state = random.bit_generator.state
        for off in offs:
            # The same draws for each direction.
            random.bit_generator.state = state
            yield _move(graph, off, random)


def _move(graph: Graph, off: int, random: np.random.Generator) -> Graph:
    model = load(graph)
    read = {name for node in model.graph.node if node.op_type in _SUMS for name in node.input}
    for item in model.graph.initializer:
        if item.name in read and item.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            array = read_array(item)
            draw = np.finfo(array.dtype).eps * random.uniform(-1, 1, array.shape)
            item.CopyFrom(numpy_helper.from_array((array * (1 + off * draw)).astype(array.dtype), item.name))
    return make_graph(model)


def _ask(graph: Graph, inputs: Arrays) -> list[NDArray[Any]]:
    answers: list[NDArray[Any]] = open_graph(graph).run(None, dict(inputs))
    return answers
