from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from serve.base.errors import InvalidBundle, InvalidRequest, ModelFailed
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.bundle import MODEL, describe_file
from serve.engine.session import Session, open_session
from tests.conftest import SIGNATURE, MakeBundle


def session_of(
    kinds: dict[str, int],
    datatypes: dict[str, str],
    nodes: list[onnx.NodeProto],
    shape: tuple[str | int, ...] = ("batch", 2),
    *,
    alone: bool = False,
) -> Session:
    """A session of a graph whose inputs start with x and whose outputs start with y, all of one shape."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind in kinds.items()]
    inputs = [value for value in values if value.name[0] == "x"]
    outputs = [value for value in values if value.name[0] == "y"]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    specs = [TensorSpec(name=name, datatype=datatype, shape=shape) for name, datatype in datatypes.items()]
    signature = Signature(
        inputs=tuple(spec for spec in specs if spec.name[0] == "x"),
        outputs=tuple(spec for spec in specs if spec.name[0] == "y"),
    )
    return Session(model.SerializeToString(), signature, "tiny/base", alone=alone)


def echo(kind: int, datatype: str, shape: tuple[str | int, ...] = ("batch", 2)) -> Session:
    """A session of a graph that answers `y`, its input `x`."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return session_of({"x": kind, "y": kind}, {"x": datatype, "y": datatype}, nodes, shape)


def strings(rows: list[list[bytes]]) -> NDArray[np.object_]:
    """Return an array of objects, as BYTES inputs are decoded."""
    return np.array(rows, np.object_)


def test_runs_the_bundles_graph(repository: Path) -> None:
    """The session answers with the outputs of the bundle's graph."""
    rows = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], np.float32)
    outputs = open_session(repository / "linear" / "light").run({"x": rows})
    np.testing.assert_array_equal(outputs["y"], [[20, 20, 20], [2, 2, 2]])


def test_rows_may_have_a_run_each() -> None:
    """With `rows: alone` the largest number of the batch is the row's own."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=1),
        helper.make_node("Div", ["x", "most"], ["y"]),
    ]
    kinds = {"x": TensorProto.FLOAT, "y": TensorProto.FLOAT}
    session = session_of(kinds, {"x": "FP32", "y": "FP32"}, nodes, alone=True)
    came = session.run({"x": np.array([[1, 2], [30, 60], [4, 4]], np.float32)})
    np.testing.assert_array_equal(came["y"], [[0.5, 1], [0.5, 1], [1, 1]])


def test_checks_the_digest_before_the_graph_is_parsed(repository: Path) -> None:
    """A changed file is refused before onnxruntime reads it."""
    (repository / "linear" / "base" / MODEL).write_bytes(b"not the graph")
    with pytest.raises(InvalidBundle, match="was changed after export"):
        open_session(repository / "linear" / "base")


def test_refuses_what_onnxruntime_cannot_load(repository: Path, make_bundle: MakeBundle) -> None:
    """A file that onnxruntime cannot load is refused."""
    content = b"not a graph"
    folder = repository / "linear" / "base"
    bundle = make_bundle(repository, "base")
    (folder / MODEL).write_bytes(content)
    manifest = bundle.model_copy(update={"files": (describe_file(MODEL, content),)})
    (folder / "bundle.json").write_text(manifest.model_dump_json())
    with pytest.raises(InvalidBundle, match="onnxruntime refuses the graph"):
        open_session(folder)


def test_refuses_a_manifest_that_misnames_the_inputs(repository: Path, make_bundle: MakeBundle) -> None:
    """A manifest whose signature differs from the graph's is refused."""
    lie = Signature(
        inputs=(TensorSpec(name="z", datatype="FP32", shape=("batch", 4)),), outputs=SIGNATURE.outputs
    )
    make_bundle(repository, "base", signature=lie)
    with pytest.raises(InvalidBundle, match="its signature says"):
        open_session(repository / "linear" / "base")


def test_a_run_that_fails_names_the_variant(repository: Path) -> None:
    """The error of a failed run names the variant."""
    with pytest.raises(ModelFailed, match="linear/base failed"):
        open_session(repository / "linear" / "base").run({"x": np.zeros((1, 9), np.float32)})


def test_strings_come_and_go_as_bytes() -> None:
    """BYTES become strings in onnxruntime and come back the same, including NUL."""
    rows = strings([[b"plain", "é😀".encode()], [b"", b"nul\x00inside\x00"]])
    answer = echo(TensorProto.STRING, "BYTES").run({"x": rows})["y"]
    assert answer.dtype == np.object_
    assert answer.tolist() == rows.tolist()


def test_strings_of_an_export_are_taken_as_they_are() -> None:
    """A string input may be `str` or bytes, and the output is bytes."""
    answer = echo(TensorProto.STRING, "BYTES").run({"x": np.array([["a", "é"]], object)})["y"]
    assert answer.tolist() == [[b"a", "é".encode()]]


def test_refuses_bytes_that_are_no_text() -> None:
    """Bytes that are not UTF-8 are refused as the client's error."""
    with pytest.raises(InvalidRequest, match=r"input 'x' has an element that is not UTF-8: b'caf\\xe9'"):
        echo(TensorProto.STRING, "BYTES").run({"x": strings([[b"fine", b"caf\xe9"]])})


def test_a_graph_that_reads_numbers_from_strings_warms_up() -> None:
    """A graph that casts strings to numbers can be warmed up."""
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    kinds = {"x": int(TensorProto.STRING), "y": int(TensorProto.FLOAT)}
    session = session_of(kinds, {"x": "BYTES", "y": "FP32"}, [node])
    np.testing.assert_array_equal(session.run({"x": strings([[b"1.5", b"-2"]])})["y"], [[1.5, -2.0]])


def test_half_floats_stay_half_floats() -> None:
    """FP16 arrays go in and out as float16."""
    rows = np.array([[1.5, 65504.0]], np.float16)
    answer = echo(TensorProto.FLOAT16, "FP16").run({"x": rows})["y"]
    assert answer.dtype == np.float16
    np.testing.assert_array_equal(answer, rows)


@pytest.mark.parametrize("order", ["C", "F"])
def test_bfloat16_travels_as_its_bits(order: Literal["C", "F"]) -> None:
    """BF16 arrays go in and out as uint16 bits, whatever their memory layout."""
    bits = np.arange(0x3F80, 0x3F80 + 6, dtype=np.uint16).reshape((3, 2), order=order)
    answer = echo(TensorProto.BFLOAT16, "BF16").run({"x": bits})["y"]
    assert answer.dtype == np.uint16
    np.testing.assert_array_equal(answer, bits)


def test_bfloat16_beside_other_datatypes() -> None:
    """BF16 and other datatypes may be mixed in one graph."""
    kinds = {
        "x": int(TensorProto.FLOAT),
        "xb": int(TensorProto.BFLOAT16),
        "y": int(TensorProto.BFLOAT16),
        "yf": int(TensorProto.FLOAT),
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16),
        helper.make_node("Cast", ["xb"], ["yf"], to=TensorProto.FLOAT),
    ]
    session = session_of(kinds, {"x": "FP32", "xb": "BF16", "y": "BF16", "yf": "FP32"}, nodes)
    bits = np.array([[0x3FC0, 0x4000]], np.uint16)
    answer = session.run({"x": np.array([[1.5, 2.0]], np.float32), "xb": bits})
    assert answer["y"].tolist() == [[0x3FC0, 0x4000]]
    assert answer["yf"].tolist() == [[1.5, 2.0]]


def halved(sizes: dict[str, int] | None = None) -> Session:
    """A graph that takes only widths that seven divides."""
    width = ("batch", "width")
    signature = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=width),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=("batch", "y_1")),),
    )
    seven = onnx.numpy_helper.from_array(np.array([0, 7, -1], np.int64), "seven")
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "seven"], ["r"]), helper.make_node("ReduceSum", ["r"], ["y"])],
        "halved",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, width)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [seven],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return Session(model.SerializeToString(), signature, "halved/base", sizes=sizes)


def test_warms_up_with_a_size_that_the_graph_takes() -> None:
    """The session warms up with the size that the bundle records."""
    assert halved({"width": 21}).sizes == {"width": 21}


def test_a_graph_that_fails_on_its_own_size_is_refused() -> None:
    """A graph that fails at its recorded size is refused."""
    with pytest.raises(ModelFailed, match="halved/base failed"):
        halved({"width": 20})


def test_a_size_that_nobody_knows_proves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A bundle without a known size is loaded without a warm-up, which is logged."""
    with caplog.at_level("WARNING", "counterweight.session"):
        halved()
    assert "halved/base is not warm" in caplog.text


def test_warms_up_with_one_row_and_with_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm-up runs one row and a batch of eight, with different lengths."""
    shapes: list[tuple[int, ...]] = []
    run = Session.run

    def record(self: Session, arrays: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        shapes.append(arrays["x"].shape)
        return run(self, arrays)

    monkeypatch.setattr(Session, "run", record)
    echo(TensorProto.FLOAT, "FP32", ("batch", "tokens", 4))
    assert shapes == [(1, 16, 4), (8, 32, 4)]
