"""An ONNX file is checked before it is run: its content, its external data and its sizes."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.artifacts import Trained
from export.errors import InvalidSource
from export.recipe import OnnxSource
from export.sources.read_trained import read_trained


def layer(*nodes: Any, **settings: Any) -> Any:
    """x [batch, 2] times a weight [2, 3], and further nodes."""
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"]), *nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weight],
    )
    usual = {"opset_imports": [helper.make_opsetid("", 18)], "ir_version": 10}
    return helper.make_model(graph, **{**usual, **settings})


def read(folder: Path, content: Any) -> Trained:
    """The model, written to a file beside the recipe."""
    data = content if isinstance(content, bytes) else content.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    return read_trained(OnnxSource(onnx="model.onnx"), folder, "classification")


def external(location: str, **place: int) -> Any:
    """The layer with its weight in another file."""
    model = layer()
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location, **place)
    tensor.ClearField("raw_data")
    return model


def weight_bytes() -> bytes:
    """Return the weight's bytes."""
    return np.arange(6, dtype=np.float32).tobytes()


def test_reads_a_sound_file(tmp_path: Path) -> None:
    """A valid file is read as a graph without a module to train."""
    trained = read(tmp_path, layer())
    assert trained.graph is not None
    assert trained.build is None
    assert onnx.load_from_string(trained.graph) == layer()


def test_data_beside_the_file_is_taken_in(tmp_path: Path) -> None:
    """External data are read into the graph and are part of the digest."""
    (tmp_path / "weights.bin").write_bytes(b"----" + weight_bytes())
    trained = read(tmp_path, external("weights.bin", offset=4, length=24))
    assert trained.graph is not None
    assert onnx.load_from_string(trained.graph) == layer()
    (tmp_path / "weights.bin").write_bytes(b"----" + weight_bytes()[::-1])
    assert read(tmp_path, external("weights.bin", offset=4, length=24)).sha256 != trained.sha256


def test_only_the_part_of_a_tensor_is_read(tmp_path: Path) -> None:
    """24 bytes of a file of 256 MB do not take its size in memory."""
    with (tmp_path / "weights.bin").open("wb") as file:
        file.write(weight_bytes())
        file.truncate(2**28)
    tracemalloc.start()
    try:
        trained = read(tmp_path, external("weights.bin", offset=0, length=24))
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()
    assert trained.graph is not None
    assert onnx.load_from_string(trained.graph) == layer()


@pytest.mark.parametrize(
    "location", ["../secret.bin", "sub/../../secret.bin", "{folder}/secret.bin", "", "."]
)
def test_refuses_data_outside_the_folder(tmp_path: Path, location: str) -> None:
    """External data outside the recipe's folder is refused."""
    folder = tmp_path / "recipe"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(weight_bytes())
    with pytest.raises(InvalidSource, match="outside its folder"):
        read(folder, external(location.format(folder=tmp_path)))


@pytest.mark.parametrize("link", ["data", "folder", "model"])
def test_refuses_links(tmp_path: Path, link: str) -> None:
    """Symbolic links are refused for the file, its data and their folders."""
    folder, outside = tmp_path / "recipe", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "weights.bin").write_bytes(weight_bytes())
    (outside / "model.onnx").write_bytes(layer().SerializeToString())
    if link == "model":
        (folder / "model.onnx").symlink_to(outside / "model.onnx")
    elif link == "data":
        (folder / "weights.bin").symlink_to(outside / "weights.bin")
        (folder / "model.onnx").write_bytes(external("weights.bin").SerializeToString())
    else:
        (folder / "sub").symlink_to(outside)
        (folder / "model.onnx").write_bytes(external("sub/weights.bin").SerializeToString())
    with pytest.raises(InvalidSource, match="is a link"):
        read_trained(OnnxSource(onnx="model.onnx"), folder, "classification")


def test_refuses_data_that_is_too_short(tmp_path: Path) -> None:
    """External data that are shorter than their weight are refused."""
    (tmp_path / "weights.bin").write_bytes(weight_bytes()[:-4])
    with pytest.raises(InvalidSource, match=r"holds 20 bytes for 'weight' \[2, 3\], which needs 24"):
        read(tmp_path, external("weights.bin"))


def test_names_data_that_is_missing(tmp_path: Path) -> None:
    """The error names the missing file with the weights."""
    with pytest.raises(InvalidSource, match=r"weights\.bin: No such file"):
        read(tmp_path, external("weights.bin"))


def test_refuses_a_size_below_zero(tmp_path: Path) -> None:
    """A negative offset of external data is refused."""
    (tmp_path / "weights.bin").write_bytes(weight_bytes())
    with pytest.raises(InvalidSource, match="sizes below 0"):
        read(tmp_path, external("weights.bin", offset=-4, length=24))


@pytest.mark.parametrize("claim", ["dims", "length"])
def test_refuses_a_claim_of_more_than_fits(
    tmp_path: Path, claim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that claims more weights than the machine can take is refused before it is loaded."""
    monkeypatch.setattr("export.sources.onnx_file.MAX_BYTES", 2**30)
    (tmp_path / "weights.bin").write_bytes(weight_bytes())
    model = external("weights.bin", offset=0, length=2**31)
    if claim == "dims":
        model = layer()
        model.graph.initializer[0].dims[:] = [2**29, 1]
    with pytest.raises(InvalidSource, match="claims 2147483648 bytes of weights; the maximum"):
        read(tmp_path, model)


def test_refuses_a_file_over_the_cap(tmp_path: Path) -> None:
    """A file that protobuf cannot read is refused before it is read."""
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(
        InvalidSource,
        match="has 3221225472 bytes, and protobuf reads fewer than 2147483648; save the weights beside",
    ):
        read_trained(OnnxSource(onnx="model.onnx"), tmp_path, "classification")


def inside(node: Any) -> Any:
    """An If whose branches hold this node."""
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph([node], "branch", [], [value])
    return helper.make_node("If", ["flag"], ["unused"], then_branch=branch, else_branch=branch)


@pytest.mark.parametrize("wrap", [lambda node: node, inside], ids=["node", "in a branch"])
def test_refuses_operators_of_others(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    """Operators of unknown domains are refused, also in graphs inside nodes."""
    node = helper.make_node("Steal", ["x"], ["z"], domain="evil.example")
    with pytest.raises(
        InvalidSource, match=r"operators of 'evil\.example' \(Steal\).*standard operators only"
    ):
        read(tmp_path, layer(wrap(node)))


def test_drops_a_declared_domain_that_nothing_uses(tmp_path: Path) -> None:
    """A declared domain that no operator uses is removed."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("evil.example", 1)]
    graph = read(tmp_path, layer(opset_imports=imports)).graph
    assert graph is not None
    assert [(item.domain, item.version) for item in onnx.load_from_string(graph).opset_import] == [("", 18)]


def test_refuses_functions(tmp_path: Path) -> None:
    """A function may redefine an operator; the error says how to write it out."""
    function = helper.make_function(
        "",
        "MatMul",
        ["a", "b"],
        ["c"],
        [helper.make_node("Add", ["a", "b"], ["c"])],
        [helper.make_opsetid("", 18)],
    )
    with pytest.raises(InvalidSource, match=r"defines functions of its own .*inline_local_functions"):
        read(tmp_path, layer(functions=[function]))


def test_refuses_statistics_of_the_batch(tmp_path: Path) -> None:
    """A BatchNormalization in training mode is refused."""
    names = ["y", *(f"of_{part}" for part in ("scale", "bias", "mean", "variance"))]
    node = helper.make_node("BatchNormalization", names, ["z", "", ""], "norm", training_mode=1)
    model = layer(node)
    for name in names[1:]:
        model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), name))
    with pytest.raises(InvalidSource, match="'norm' is a BatchNormalization in training mode"):
        read(tmp_path, model)


def test_refuses_too_many_nodes(tmp_path: Path) -> None:
    """Nodes in branches count towards the limit on nodes."""
    nodes = [inside(helper.make_node("Neg", ["x"], [f"n{number}"])) for number in range(20_000)]
    with pytest.raises(InvalidSource, match="has 60001 nodes; at most 50000"):
        read(tmp_path, layer(*nodes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"garbage", "not an ONNX file|no ONNX graph"),
        (b"", "contains no ONNX graph"),
        (layer().SerializeToString()[:-20], "incomplete|not a valid"),
        (layer(helper.make_node("Neg", ["x"], ["y"])), "not a valid ONNX model: .*y"),
        (layer(helper.make_node("NoSuch", ["x"], ["z"])), "not a valid ONNX model: .*NoSuch"),
        (layer(helper.make_node("Neg", ["nowhere"], ["z"])), "not a valid ONNX model"),
    ],
    ids=["garbage", "empty", "truncated", "two values of one name", "unknown operator", "unknown value"],
)
def test_refuses_what_is_no_model(tmp_path: Path, content: Any, message: str) -> None:
    """A file that is not a valid model is refused."""
    with pytest.raises(InvalidSource, match=message):
        read(tmp_path, content)


def test_refuses_nan_weights(tmp_path: Path) -> None:
    """Infinite weights are accepted, and NaN is refused."""
    model = layer()
    values = np.array([[1, np.inf, -np.inf], [1, 1, 1]], np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "weight"))
    read(tmp_path, model)
    values[1, 1] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "weight"))
    with pytest.raises(InvalidSource, match="'weight' holds NaN"):
        read(tmp_path, model)
