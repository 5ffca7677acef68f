from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from deployments.demo.bad_candidate import move_columns, plant
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.bundle import read_bundle, read_file
from serve.bundles.repository import read_model
from tests.conftest import make_bundle

_X = TensorSpec(name="x", datatype="FP32", shape=("batch", 3))
_Y = TensorSpec(name="y", datatype="FP32", shape=("batch", 3))


def tripled() -> bytes:
    """y = 3 x, for three classes, with the output used once more inside."""
    inner = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    outer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    three = numpy_helper.from_array(np.array([3], np.float32), "three")
    nodes = [helper.make_node("Mul", ["x", "three"], ["y"]), helper.make_node("Relu", ["y"], ["unused"])]
    graph = helper.make_graph(nodes, "tripled", [inner], [outer], [three])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def test_each_column_is_its_neighbours() -> None:
    """Each column of the output is replaced by the one before it, and the first by the last."""
    moved = move_columns(tripled())
    onnx.checker.check_model(onnx.load_model_from_string(moved))
    session = onnxruntime.InferenceSession(moved, providers=["CPUExecutionProvider"])
    [answer] = session.run(None, {"x": np.array([[1, 2, 4]], np.float32)})
    assert np.asarray(answer).tolist() == [[12, 3, 6]]


def test_the_planted_bundle_is_legal(tmp_path: Path) -> None:
    """The planted bundle has valid digests of its own and the figures of the bundle from which it was
    made."""
    signature = Signature(inputs=(_X,), outputs=(_Y,))
    for variant in ("base", "light"):
        make_bundle(tmp_path, variant, content=tripled(), model="digits", signature=signature)
    plant(tmp_path / "digits" / "light", "mixed-up")
    model = read_model(tmp_path / "digits")
    assert list(model.servable) == ["base", "light", "mixed-up"]
    bad = read_bundle(tmp_path / "digits" / "mixed-up")
    assert read_file(tmp_path / "digits" / "mixed-up", bad, "model.onnx") != tripled()
    assert bad.digest != model.bundles["light"].digest
    assert bad.figures == model.bundles["light"].figures
