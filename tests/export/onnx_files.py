"""Small ONNX files as other tools write them, and their answers by onnxruntime."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from serve.bundles.onnx_graph import Graph

FLOAT, HALF, INT64, STRING = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.STRING
Values = Sequence[tuple[str, int, Sequence[Any] | None]]


def file_of(
    nodes: list[Any], inputs: Values, outputs: Values, weights: Mapping[str, Any], **opsets: int
) -> bytes:
    """A model of these nodes; `opsets` are versions by domain, `ai_onnx` for "ai.onnx", by default 17 of the
    standard one. Nothing checks it."""
    made = helper.make_graph(
        nodes,
        "file",
        [helper.make_tensor_value_info(*item) for item in inputs],
        [helper.make_tensor_value_info(*item) for item in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    names = {"standard": "", "ai_onnx": "ai.onnx", "ml": "ai.onnx.ml", "ms": "com.microsoft"}
    imports = [helper.make_opsetid(names.get(key, key), version) for key, version in opsets.items()]
    model = helper.make_model(made, opset_imports=imports or [helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def answers(graph: Graph, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """What the graph answers."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, inputs)
    return found


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Numbers around 0."""
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def opsets(graph: Graph) -> dict[str, int]:
    """The operator sets that the graph declares."""
    return {item.domain: item.version for item in onnx.load_from_string(graph).opset_import}


def rare_classes(reverse: bool, factors: tuple[float, ...] = (1,) * 8) -> bytes:
    """A Sigmoid for each of eight classes, all but the first of which are rare; the sums are taken in one
    order or in the other."""
    columns = np.random.default_rng(1).normal(0, 0.5, (16, 8)).astype(np.float32)
    step = -1 if reverse else 1
    nodes = [
        helper.make_node("Gather", ["x", "order"], ["h"], axis=1),
        helper.make_node("Gemm", ["h", "weights", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["shares"]),
        helper.make_node("Mul", ["shares", "factors"], ["y"]),
    ]
    constants = {
        "order": np.arange(16)[::step].copy(),
        "weights": columns[::step].copy(),
        "bias": np.array([0, *[-12.0] * 7], np.float32),
        "factors": np.array(factors, np.float32),
    }
    return file_of(nodes, [("x", FLOAT, ["n", 16])], [("y", FLOAT, ["n", 8])], constants)
