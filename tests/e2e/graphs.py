"""Graphs from integers to integers: correct ones and faulty ones.

All pass a server's warm-up, which runs them on zeros, except those that are made to fail at 0."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serve.base.tensor import Signature, TensorSpec
from serve.bundles.bundle import Bundle
from tests.conftest import make_bundle

MODEL = "numbers"
X, Y = (TensorSpec(name=name, datatype="INT64", shape=("batch",)) for name in "xy")
SIGNATURE = Signature(inputs=(X,), outputs=(Y,))
_INT, _FLOAT = TensorProto.INT64, TensorProto.FLOAT
_FOREVER = 10**12
_LEAST = -(2**63)


def make_numbers(repository: Path, variant: str, graph: bytes, model: str = MODEL) -> Bundle:
    """Write a variant of the model whose baseline is `base`."""
    return make_bundle(repository, variant, content=graph, model=model, signature=SIGNATURE)


def body(value: int) -> dict[str, Any]:
    """A request of one row."""
    return {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [value]}]}


def times(factor: int) -> bytes:
    """y = factor * x."""
    return _graph([helper.make_node("Mul", ["x", "factor"], ["y"])], factor=factor)


def fails(at: int) -> bytes:
    """A table of `at` rows: onnxruntime raises from this number on."""
    return _graph([helper.make_node("Gather", ["table", "x"], ["y"])], table=range(at))


def dies(at: int) -> bytes:
    """y = x, by way of the least number divided by -1: the processor traps, and the process is gone."""
    nodes = [
        helper.make_node("Sub", ["x", "one_more"], ["divisor"]),
        helper.make_node("Div", ["least", "divisor"], ["quotient"]),
        helper.make_node("Mul", ["quotient", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    return _graph(nodes, one_more=at + 1, least=_LEAST, zero=0)


def strays(at: int) -> bytes:
    """y = x, and from this number to its double one more."""
    nodes = [
        helper.make_node("Div", ["x", "at"], ["more"]),
        helper.make_node("Add", ["x", "more"], ["y"]),
    ]
    return _graph(nodes, at=at)


def hangs(at: int) -> bytes:
    """A loop that turns 10^12 times, from this number on."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Div", ["most", "at"], ["over"]),
        helper.make_node("Mul", ["over", "forever"], ["turns"]),
    ]
    return _loop(nodes, at=at, forever=_FOREVER)


def slow(turns: int) -> bytes:
    """Return a loop with this number of turns, each some 2 microseconds long."""
    return _loop([], turns=turns)


def grows(bytes_each: int) -> bytes:
    """Allocates memory in proportion to x, which onnxruntime keeps for later runs."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=1),
        helper.make_node("Mul", ["most", "elements"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["zero"], keepdims=0),
        helper.make_node("Cast", ["zero"], ["nothing"], to=_INT),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    return _graph(nodes, elements=[bytes_each // 4])


def _loop(nodes: list[Any], **constants: Any) -> bytes:
    """`turns` turns, in which next to nothing happens."""
    info = helper.make_tensor_value_info
    turn = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Sin", ["value"], ["next"]),
        ],
        "turn",
        [info("turn", _INT, []), info("go_on", TensorProto.BOOL, []), info("value", _FLOAT, [1])],
        [info("still", TensorProto.BOOL, []), info("next", _FLOAT, [1])],
    )
    nodes = [
        *nodes,
        helper.make_node("CastLike", ["none", "float"], ["first"]),
        helper.make_node("Loop", ["turns", "", "first"], ["last"], body=turn),
        helper.make_node("Cast", ["last"], ["nothing"], to=_INT),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    return _graph(nodes, none=[0], float=np.zeros(1, np.float32), **constants)


def _graph(nodes: list[Any], **constants: Any) -> bytes:
    arrays = {
        name: value if isinstance(value, np.ndarray) else np.array(value, np.int64)
        for name, value in constants.items()
    }
    graph = helper.make_graph(
        nodes,
        MODEL,
        [helper.make_tensor_value_info("x", _INT, ["batch"])],
        [helper.make_tensor_value_info("y", _INT, ["batch"])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    content: bytes = onnx.ModelProto.SerializeToString(model)
    return content
