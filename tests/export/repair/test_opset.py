"""A graph of an older opset is converted and gives the same answers."""

import numpy as np
import onnx
import pytest
from onnx import helper

from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, answers, file_of, opsets, random

ROWS = split_of({"x": random(20, 3, 4, 1)})


def old(opset: int) -> bytes:
    """Normalization, a Squeeze with an attribute, and a Softmax over all that is behind axis 1: each is
    another operator today."""
    nodes = [
        helper.make_node("BatchNormalization", ["x", "one", "zero", "zero", "one"], ["a"]),
        helper.make_node("Squeeze", ["a"], ["b"], axes=[3]),
        helper.make_node("Softmax", ["b"], ["y"]),
    ]
    weights = {"one": np.ones(3, np.float32), "zero": np.zeros(3, np.float32)}
    return file_of(
        nodes, [("x", FLOAT, ["n", 3, 4, 1])], [("y", FLOAT, ["n", 3, 4])], weights, standard=opset
    )


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_an_old_graph_is_raised_and_answers_the_same(opset: int) -> None:
    """An older opset is raised to 18, the answers are the same, and the note says so."""
    exported = from_onnx(old(opset), ROWS, ("y",))
    assert opsets(exported.graph) == {"": 18}
    x = random(5, 3, 4, 1, seed=1)
    np.testing.assert_allclose(answers(exported.graph, x=x)[0], answers(old(opset), x=x)[0], rtol=1e-6)
    [note] = exported.notes
    assert note["changes"] == [f"opset {opset} raised to 18"]
    assert note["max_difference"] == pytest.approx(0, abs=1e-6)


def test_a_promise_of_the_file_does_not_keep_it_from_being_raised() -> None:
    """A file whose output shape is wrongly declared is converted, too."""
    model = onnx.load_from_string(old(11))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, ["n", "length"]))
    exported = from_onnx(model.SerializeToString(), ROWS, ("y",))
    assert opsets(exported.graph) == {"": 18}
    assert exported.signature.outputs[0].shape == ("batch", 3, 4)


def test_a_graph_that_is_new_enough_stays() -> None:
    """A graph of opset 13 is not changed."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    values = [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 2])]
    exported = from_onnx(file_of(nodes, *values, {}, standard=13), split_of({"x": random(9, 2)}), ("y",))
    assert opsets(exported.graph) == {"": 13}
    assert exported.notes == ()


def test_what_cannot_be_converted_is_refused() -> None:
    """The error for a graph that cannot be converted gives the reason and the opset to use."""
    node = helper.make_node("Upsample", ["x"], ["y"])
    content = file_of([node], [("x", FLOAT, ["n", 3, 4, 1])], [("y", FLOAT, ["n", 3, 8, 1])], {}, standard=7)
    with pytest.raises(ExportFailed, match=r"^the file has opset 7.*cannot convert it to 18.*best 18$"):
        from_onnx(content, ROWS, ("y",))


def test_a_newer_file_format_is_lowered() -> None:
    """onnx writes newer versions of the file format than onnxruntime reads."""
    model = onnx.load_from_string(old(12))
    model.ir_version = 14
    changes = str(from_onnx(bytes(model.SerializeToString()), ROWS, ("y",)).notes[0]["changes"])
    assert "version 14 of the file format lowered to 13" in changes
