"""Nodes with the same name get different ones."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.onnx.from_onnx import from_onnx
from export.onnx.graph import nodes_of
from export.sources.onnx_file import read_graph
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, HALF, answers, file_of, random

ROWS = split_of({"x": random(20, 4)})
W = random(4, 4)


def named(*names: str, kind: int = FLOAT) -> bytes:
    """A product, then one Neg for each further name."""
    values = ["x", *(f"h_{number}" for number in range(1, len(names))), "y"]
    dtype = np.float32 if kind == FLOAT else np.float16
    nodes = [helper.make_node("MatMul", ["x", "w"], [values[1]], names[0])]
    nodes += [
        helper.make_node("Neg", [values[number]], [values[number + 1]], name)
        for number, name in enumerate(names[1:], start=1)
    ]
    return file_of(nodes, [("x", kind, ["n", 4])], [("y", kind, ["n", 4])], {"w": W.astype(dtype)})


@pytest.mark.parametrize(
    ("names", "after"),
    [
        (("same", "same", "same"), ["same", "same_2", "same_3"]),
        (("same", "same_2", "same"), ["same", "same_2", "same_3"]),
        (("", "", "other"), ["", "", "other"]),
    ],
    ids=["three alike", "a name that is taken", "without names"],
)
def test_nodes_of_one_name_are_numbered(names: tuple[str, ...], after: list[str], tmp_path: Path) -> None:
    """Nodes that share a name are numbered after the first, and values and answers stay the same."""
    path = tmp_path / "file.onnx"
    path.write_bytes(named(*names))
    content, _ = read_graph(path)
    exported = from_onnx(content, ROWS, ("y",))
    made = onnx.load_from_string(exported.graph).graph
    assert [node.name for node in made.node] == after
    assert [name for node in made.node for name in node.output] == ["h_1", "h_2", "y"]
    x = random(5, 4, seed=1)
    np.testing.assert_allclose(answers(exported.graph, x=x)[0], x @ W, rtol=1e-5, atol=1e-6)


def test_it_is_noted() -> None:
    """The note gives the number of renamed nodes."""
    [note] = from_onnx(named("same", "same", "same"), ROWS, ("y",)).notes
    assert note["changes"] == ["2 nodes that shared a name were numbered"]


def test_nodes_that_are_added_have_names_of_their_own() -> None:
    """Added nodes get names that the file does not have."""
    exported = from_onnx(named("x_inside_cast", "y_inside_cast", kind=HALF), ROWS, ("y",))
    names = [node.name for node in onnx.load_from_string(exported.graph).graph.node]
    assert len(set(names)) == len(names) == 4


def test_nodes_of_inner_graphs_count_too() -> None:
    """Nodes of inner graphs also get unique names."""

    def branch(name: str) -> Any:
        inner = helper.make_tensor_value_info(name, FLOAT, None)
        return helper.make_graph([helper.make_node("Neg", ["x"], [name], "same")], name, [], [inner])

    flag = helper.make_node("Constant", [], ["flag"], "same", value=numpy_helper.from_array(np.array(True)))
    chosen = helper.make_node("If", ["flag"], ["y"], "same", then_branch=branch("a"), else_branch=branch("b"))
    content = file_of([flag, chosen], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], {})
    exported = from_onnx(content, ROWS, ("y",))
    names = [node.name for node in nodes_of(onnx.load_from_string(exported.graph).graph)]
    assert sorted(names) == ["same", "same_2", "same_3", "same_4"]
