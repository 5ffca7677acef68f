"""The files in which a graph has its weights are found without the onnx package."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from serve.bundles.weight_locations import find_locations
from tests.conftest import linear_graph


def stored(name: str, location: str) -> Any:
    """A tensor whose data is in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=1)
    for key, value in (("offset", "4096"), ("location", location), ("length", "8")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def branch(name: str) -> Any:
    """A graph inside a node, with a weight in another file."""
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
    return helper.make_graph([], name, [], [output], [stored(name, f"{name}.bin")])


def test_every_place_of_a_tensor_is_looked_at() -> None:
    """Initializers, constants, sparse tensors and graphs inside nodes may all have their data in files."""
    values, indices = stored("values", "values.bin"), stored("indices", "sub/indices.bin")
    sparse = helper.make_sparse_tensor(values, indices, [9])
    nodes = [
        helper.make_node("If", ["c"], ["a"], then_branch=branch("then"), else_branch=branch("else")),
        helper.make_node("Constant", [], ["k"], value=stored("k", "../constant.bin")),
        helper.make_node("Constant", [], ["s"], sparse_value=sparse),
    ]
    graph = helper.make_graph(nodes, "g", [], [], [stored("w", "/etc/weights"), stored("v", "w.bin")])
    graph.sparse_initializer.append(helper.make_sparse_tensor(stored("p", "p.bin"), indices, [9]))
    found = find_locations(helper.make_model(graph).SerializeToString())
    names = ("then", "else", "values", "w", "p")
    expected = {f"{name}.bin" for name in names}
    assert found == expected | {"sub/indices.bin", "../constant.bin", "/etc/weights"}


def test_the_word_alone_is_no_location() -> None:
    """A graph that only has the word in its names or its weights has no other files."""
    weights = numpy_helper.from_array(np.frombuffer(b"location", np.uint8), "location")
    graph = helper.make_graph([helper.make_node("Identity", ["location"], ["y"])], "g", [], [], [weights])
    assert find_locations(helper.make_model(graph).SerializeToString()) == set()
    assert find_locations(linear_graph(1.0)) == set()


@pytest.mark.parametrize("content", [b"\x07location", b"location\xff"])
def test_other_content_is_told(content: bytes) -> None:
    """Content that is not in protobuf's form raises ValueError."""
    with pytest.raises(ValueError, match=r"protobuf|ends within"):
        find_locations(content)
