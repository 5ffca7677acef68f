"""A graph whose weights are in a second file is whole, verified, and read from its own folder alone."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from serve.base.errors import InvalidBundle
from serve.bundles.bundle import MODEL, WEIGHTS, Bundle, describe_file, read_bundle, write_bundle
from serve.bundles.onnx_graph import SplitGraph, WeightsFile, count_bytes, digest_graph, files_of, read_graph
from serve.engine.session import open_session
from tests.conftest import CLASSES, FEATURES, MakeBundle, linear_graph

VALUES = np.arange(FEATURES * CLASSES, dtype=np.float32).reshape(FEATURES, CLASSES)


def content(location: str = WEIGHTS) -> bytes:
    """The graph y = x @ w, whose weight is in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=VALUES.shape, data_location=1)
    for key, value in (("location", location), ("offset", "0"), ("length", str(VALUES.nbytes))):
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "split",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [weight],
    )
    imports = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())


@pytest.fixture
def graph(tmp_path: Path) -> SplitGraph:
    """The graph, with its weights in a folder."""
    (tmp_path / "made").mkdir()
    VALUES.tofile(tmp_path / "made" / WEIGHTS)
    return SplitGraph(content=content(), weights=WeightsFile(tmp_path / "made" / WEIGHTS))


@pytest.fixture
def folder(graph: SplitGraph, tmp_path: Path, make_bundle: MakeBundle) -> Path:
    """A bundle with this graph."""
    return write(graph, tmp_path, make_bundle)


def write(graph: SplitGraph, home: Path, make_bundle: MakeBundle) -> Path:
    """Write a bundle with this graph, and return its folder."""
    whole = make_bundle(home, "base")
    files = tuple(describe_file(path, each) for path, each in files_of(graph).items())
    bundle = whole.model_copy(update={"files": files})
    write_bundle(home / "linear" / "base", bundle, files_of(graph))
    return home / "linear" / "base"


def listed(folder: Path) -> Bundle:
    """The bundle's manifest."""
    return read_bundle(folder)


def test_a_bundle_with_two_files_answers(folder: Path) -> None:
    """A session of the bundle reads the weights beside the graph."""
    x = np.ones((2, FEATURES), np.float32)
    np.testing.assert_array_equal(open_session(folder).run({"x": x})["y"], x @ VALUES)


def test_the_size_and_the_digest_are_of_both_files(graph: SplitGraph) -> None:
    """Other weights give another digest, and count in the size."""
    assert count_bytes(graph) == len(graph.content) + VALUES.nbytes
    before = digest_graph(graph)
    (VALUES + 1).tofile(graph.weights.path)
    other = SplitGraph(content=graph.content, weights=WeightsFile(graph.weights.path))
    assert digest_graph(other) != before


def test_the_digest_of_the_bundle_covers_the_weights(
    folder: Path, graph: SplitGraph, tmp_path: Path, make_bundle: MakeBundle
) -> None:
    """Two bundles that differ in the weights file alone have different digests."""
    (VALUES + 1).tofile(graph.weights.path)
    assert listed(write(graph, tmp_path / "other", make_bundle)).digest != listed(folder).digest


def test_refuses_weights_that_were_changed(folder: Path) -> None:
    """One changed number in the weights file is found when the bundle is opened."""
    (VALUES + np.eye(FEATURES, CLASSES, dtype=np.float32)).tofile(folder / WEIGHTS)
    with pytest.raises(InvalidBundle, match=r"model\.onnx\.data has SHA-256 .* was changed after export"):
        open_session(folder)


def test_refuses_weights_that_were_cut(folder: Path) -> None:
    """A truncated weights file is refused by name."""
    (folder / WEIGHTS).write_bytes(VALUES.tobytes()[:-4])
    with pytest.raises(InvalidBundle, match=r"model\.onnx\.data has SHA-256"):
        open_session(folder)


@pytest.mark.parametrize("link", [False, True])
def test_refuses_missing_weights(folder: Path, tmp_path: Path, link: bool) -> None:
    """A missing weights file is refused by name, and so is a link to one elsewhere."""
    (folder / WEIGHTS).rename(tmp_path / "elsewhere")
    if link:
        (folder / WEIGHTS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidBundle, match=r"model\.onnx\.data is missing or not a regular file"):
        open_session(folder)


def test_refuses_weights_that_the_manifest_does_not_list(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A file beside the graph without a digest in the manifest is not read."""
    make_bundle(tmp_path, "base", content=content())
    folder = tmp_path / "linear" / "base"
    VALUES.tofile(folder / WEIGHTS)
    with pytest.raises(InvalidBundle, match=r"does not list model\.onnx\.data"):
        open_session(folder)


@pytest.mark.parametrize("location", ["../outside.bin", "{home}/outside.bin", "other.bin", f"./{WEIGHTS}"])
def test_refuses_weights_in_another_file(tmp_path: Path, make_bundle: MakeBundle, location: str) -> None:
    """A location outside the folder, or of another file in it, is refused, and the file is not read."""
    place = location.format(home=tmp_path)
    VALUES.tofile(tmp_path / "outside.bin")
    bundle = make_bundle(tmp_path, "base", content=content(place))
    folder = tmp_path / "linear" / "base"
    VALUES.tofile(folder / "other.bin")
    with pytest.raises(InvalidBundle, match="which was not read"):
        read_graph(folder, bundle)


def test_a_temporary_file_goes_with_its_last_graph(tmp_path: Path) -> None:
    """The weights file of a graph in the making is removed when nothing refers to it."""
    (tmp_path / "made").mkdir()
    VALUES.tofile(tmp_path / "made" / WEIGHTS)
    graph = SplitGraph(content=content(), weights=WeightsFile(tmp_path / "made" / WEIGHTS, temporary=True))
    again = SplitGraph(content=graph.content, weights=graph.weights)
    del graph
    assert again.weights.path.exists()
    del again
    assert not (tmp_path / "made").exists()


def test_a_graph_in_one_file_is_its_content(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """The graph of a bundle with one file is the content of that file."""
    bundle = make_bundle(tmp_path, "base")
    assert read_graph(tmp_path / "linear" / "base", bundle) == linear_graph(1.0)
    assert list(files_of(linear_graph(1.0))) == [MODEL]
