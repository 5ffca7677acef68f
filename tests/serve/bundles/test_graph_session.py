import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[3]
FLOAT, HALF, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT64
# A process of its own runs this, because onnxruntime may end it.
SCRIPT = """
import sys
import numpy as np
from serve.bundles.graph_session import open_graph

rows = np.load(sys.argv[2])
np.save(sys.argv[3], open_graph(open(sys.argv[1], "rb").read()).run(None, {"x": rows})[0])
"""
WEIGHTS = np.arange(24).reshape(6, 4) / 8


def graph(inner: int, product: int, middle: str) -> bytes:
    """A MatMul of the second type behind a Transpose of the first type that makes the rows the second
    dimension."""
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=inner)]
    nodes.append(helper.make_node("Transpose", ["h"], ["turned"], perm=[1, 0, 2]))
    if middle == "Cast":
        nodes.append(helper.make_node("Cast", ["turned"], ["factor"], to=product))
    else:
        nodes.append(helper.make_node(middle, ["turned"], ["factor"]))
    nodes.append(helper.make_node("MatMul", ["factor", "w"], ["product"]))
    nodes.append(helper.make_node("Cast", ["product"], ["y"], to=FLOAT))
    weights: Any = WEIGHTS.astype(helper.tensor_dtype_to_np_dtype(product))
    made = helper.make_graph(
        nodes,
        "turned",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", 5, 6])],
        [helper.make_tensor_value_info("y", FLOAT, [5, "batch", 4])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("inner", "product", "middle"),
    [
        (HALF, HALF, "Identity"),
        (DOUBLE, FLOAT, "Cast"),
        (INT64, FLOAT, "Cast"),
    ],
)
def test_a_product_of_transposed_rows_ends_no_process(
    inner: int, product: int, middle: str, tmp_path: Path
) -> None:
    """onnxruntime's fusion of MatMul and Transpose does, if there is a Cast between them."""
    model, rows, answer = tmp_path / "model.onnx", tmp_path / "rows.npy", tmp_path / "answer.npy"
    model.write_bytes(graph(inner, product, middle))
    given = np.random.default_rng(0).integers(-4, 5, (3, 5, 6)).astype(np.float32)
    np.save(rows, given)
    done = subprocess.run([sys.executable, "-c", SCRIPT, model, rows, answer], cwd=ROOT, check=False)
    assert done.returncode == 0
    np.testing.assert_array_equal(np.load(answer), given.transpose(1, 0, 2) @ WEIGHTS)


@pytest.mark.parametrize("room", ["serve", "export"])
def test_sessions_are_opened_in_one_way_only(room: str) -> None:
    """Only `graph_session.py` opens sessions, so every session has the setting that prevents the crash."""
    opening = [path.name for path in (ROOT / room).rglob("*.py") if "InferenceSession(" in path.read_text()]
    assert opening == (["graph_session.py"] if room == "serve" else [])
