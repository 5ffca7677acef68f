"""An output's dimensions are those measured for several sizes of the input."""

from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from export.sources.onnx_file import read_graph
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, file_of, random


def shape_of(nodes: list[Any], output: list[Any], weights: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """The dimensions of y, for pictures x [n, 3, height, width] of which all the data has one size."""
    content = file_of(
        nodes, [("x", FLOAT, ["n", 3, "height", "width"])], [("y", FLOAT, output)], weights or {}
    )
    exported = from_onnx(content, split_of({"x": random(20, 3, 8, 12)}), ("y",))
    return exported.signature.outputs[0].shape


def test_a_size_that_follows_a_free_one_is_free() -> None:
    """An output size that follows a free input size is free."""
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    assert shape_of([node], ["n", 3, None, None]) == ("batch", 3, "y_2", "y_3")


def test_a_size_that_the_file_promises_and_does_not_keep_is_free() -> None:
    """A declared size that varies becomes free, as in files traced with a single image."""
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    assert shape_of([node], ["n", 3, 4, 6]) == ("batch", 3, "y_2", "y_3")


def test_a_size_that_never_changes_is_a_number() -> None:
    """A dimension that is the same for several sizes of the input is a number."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    assert shape_of(nodes, [None, None]) == ("batch", 3)


def test_a_name_is_kept_where_it_is_true() -> None:
    """An output dimension keeps the input's name if the sizes agree, and gets its own otherwise."""
    relu = helper.make_node("Relu", ["x"], ["y"])
    assert shape_of([relu], ["n", 3, "height", "width"]) == ("batch", 3, "height", "width")
    turned = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 1, 3, 2])
    assert shape_of([turned], ["n", 3, "height", "width"]) == ("batch", 3, "y_2", "y_3")


def test_a_graph_that_takes_one_size_only_has_numbers_behind_it() -> None:
    """If a graph accepts a single size only, its output dimensions are numbers."""
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    assert shape_of(nodes, ["n", None], {"w": random(288, 5)}) == ("batch", 5)


def test_an_output_without_numbers_is_refused() -> None:
    """An output with a width of 0 is refused by its name."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    nodes.append(helper.make_node("MatMul", ["f", "w"], ["y"]))
    with pytest.raises(ExportFailed, match=r"output 'y' is empty, \[1, 0\].*leave it out of `outputs`"):
        shape_of(nodes, [None, 0], {"w": random(3, 0)})


def test_wrong_declared_sizes_of_an_output_do_not_matter(tmp_path: Path) -> None:
    """An output that is declared as one number, as some converters do, has the sizes of its answers."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = tmp_path / "model.onnx"
    path.write_bytes(file_of(nodes, [("x", FLOAT, ["n", 3])], [("y", FLOAT, [])], {}))
    graph, _ = read_graph(path)
    exported = from_onnx(graph, split_of({"x": random(20, 3)}), ("y",))
    assert exported.signature.outputs[0].shape == ("batch", 3)
