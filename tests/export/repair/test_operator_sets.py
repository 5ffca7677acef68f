"""A graph declares the operator sets that it uses, each once and under one name."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from export.errors import InvalidSource
from export.repair.operator_sets import settle_imports
from export.sources.onnx_file import read_graph
from tests.export.onnx_files import FLOAT, file_of, opsets, random

RELU = helper.make_node("Relu", ["x"], ["y"])
MINE = helper.make_node("ArrayFeatureExtractor", ["x", "at"], ["y"], domain="ai.onnx.ml")


def settled(*nodes: Any, **versions: int) -> dict[str, int]:
    """The declared sets afterwards."""
    x, y = [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 2])]
    model = onnx.load_from_string(file_of(list(nodes), x, y, {"at": [0, 1]}, **versions))
    settle_imports("file", model)
    return {item.domain: item.version for item in model.opset_import}


def test_what_no_node_uses_is_dropped() -> None:
    """Operator sets that no node uses are removed."""
    assert settled(RELU, standard=17, ml=5, **{"com.microsoft.nchwc": 1}) == {"": 17}


def test_the_standard_set_is_added_where_it_is_missing() -> None:
    """The standard operator set is added to a graph that declares only ai.onnx.ml."""
    assert settled(MINE, ml=1) == {"": 18, "ai.onnx.ml": 1}


def test_the_long_name_of_the_standard_set_becomes_the_short_one() -> None:
    """The long name of the standard set is replaced in the imports and in the nodes."""
    assert settled(helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx"), ai_onnx=17) == {"": 17}


def test_onnxruntimes_own_set_has_one_version() -> None:
    """The operator set of onnxruntime is added with version 1."""
    gelu = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    assert settled(gelu, standard=17) == {"": 17, "com.microsoft": 1}


def test_a_version_that_nobody_knows_is_asked_for() -> None:
    """An operator of a set without a declared version is refused, and the error asks for the version."""
    with pytest.raises(
        InvalidSource, match=r"file uses Relu of the operator set 'ai.onnx' .*make_opsetid\('', VERSION\)"
    ):
        settled(RELU, ml=3)


def test_a_file_with_the_long_name_is_read(tmp_path: Path) -> None:
    """A file that declares `ai.onnx` is read as one with the standard set."""
    path = tmp_path / "m.onnx"
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path.write_bytes(
        file_of([node], [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 3])], {"w": random(2, 3)}, ai_onnx=17)
    )
    assert opsets(read_graph(path)[0]) == {"": 17}
