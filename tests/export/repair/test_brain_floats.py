"""A graph in bfloat16 is computed in float32, where onnxruntime lacks its operators."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string

from export.onnx.from_onnx import from_onnx
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, answers, file_of, random

BRAIN = TensorProto.BFLOAT16
# Exact in bfloat16, which has 8 bits.
W = np.round(random(3, 4) * 16) / 16


def _file(nodes: list[Any], kind: int) -> bytes:
    model = load_from_string(file_of(nodes, [("x", kind, ["n", 3])], [("y", kind, ["n", 4])], {}))
    model.graph.initializer.append(helper.make_tensor("w", BRAIN, [3, 4], W.ravel().tolist()))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("inside", [False, True], ids=["everywhere", "between casts"])
def test_a_product_in_bfloat16_is_that_of_its_weights(inside: bool) -> None:
    """The weights keep their values, inputs and outputs are float32, and the note says so."""
    cast = [
        helper.make_node("Cast", ["x"], ["b"], to=BRAIN),
        helper.make_node("Cast", ["h"], ["y"], to=FLOAT),
    ]
    product = helper.make_node("MatMul", ["b" if inside else "x", "w"], ["h" if inside else "y"])
    nodes = [cast[0], product, cast[1]] if inside else [product]
    exported = from_onnx(_file(nodes, FLOAT if inside else BRAIN), split_of({"x": random(20, 3)}), ("y",))
    x = random(5, 3, seed=1)
    np.testing.assert_allclose(answers(exported.graph, x=x)[0], x @ W, rtol=1e-5, atol=1e-6)
    assert "bfloat16 became float32" in str(exported.notes[0])


def test_weights_that_are_only_stored_in_bfloat16_stay() -> None:
    """A graph that onnxruntime runs as it is keeps its smaller weights."""
    nodes = [helper.make_node("Cast", ["w"], ["v"], to=FLOAT), helper.make_node("MatMul", ["x", "v"], ["y"])]
    exported = from_onnx(_file(nodes, FLOAT), split_of({"x": random(20, 3)}), ("y",))
    assert [item.data_type for item in load_from_string(exported.graph).graph.initializer] == [BRAIN]
