"""Which axis of an input has the rows, and the names of the others."""

from typing import Any

import numpy as np
import pytest
from onnx import helper

from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, INT64, answers, file_of, random


def pooled(shape: list[Any] | None) -> bytes:
    """The mean of every channel of a picture."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    return file_of(nodes, [("x", FLOAT, shape)], [("y", FLOAT, [None, 3])], {})


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (["?", 3, "?", "?"], ("batch", 3, "x_2", "x_3")),
        (["n", 3, "size", "size"], ("batch", 3, "x_2", "x_3")),
        (["n", 3, "height", "width"], ("batch", 3, "height", "width")),
        ([None, None, None, None], ("batch", "x_1", "x_2", "x_3")),
        (None, ("batch", "x_1", "x_2", "x_3")),
    ],
    ids=["question mark", "one name for two sizes", "names", "no names", "no shape"],
)
def test_a_name_means_one_size(shape: list[Any] | None, expected: tuple[Any, ...]) -> None:
    """A dimension's name is kept if the data has one size for it, and replaced otherwise."""
    exported = from_onnx(pooled(shape), split_of({"x": random(20, 3, 8, 12)}), ("y",))
    assert exported.signature.inputs[0].shape == expected


def test_a_question_mark_is_no_name_for_squares_either() -> None:
    """Two free dimensions named `?` get different names, even if both are 8 in the data."""
    exported = from_onnx(pooled(["?", 3, "?", "?"]), split_of({"x": random(20, 3, 8, 8)}), ("y",))
    assert exported.signature.inputs[0].shape == ("batch", 3, "x_2", "x_3")


def recurrent() -> bytes:
    """An LSTM with its state: x [time, batch, 4], h and c [1, batch, 8], as torch and silero have it."""
    weights = {"w": random(1, 32, 4), "r": random(1, 32, 8, seed=1), "b": random(1, 64, seed=2)}
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "b", "", "h", "c"], ["all", "hn", "cn"], hidden_size=8),
        helper.make_node("Squeeze", ["all", "one"], ["y"]),
    ]
    state = [1, "batch", 8]
    return file_of(
        nodes,
        [("x", FLOAT, ["time", "batch", 4]), ("h", FLOAT, state), ("c", FLOAT, state)],
        [("y", FLOAT, ["time", "batch", 8]), ("hn", FLOAT, state)],
        {**weights, "one": np.array([1])},
    )


def test_a_batch_that_is_not_first_is_moved_to_the_front() -> None:
    """A batch on the second axis is moved to the front of inputs and outputs; the answers are the same."""
    rows = {"x": random(20, 5, 4), "h": random(20, 1, 8), "c": random(20, 1, 8)}
    exported = from_onnx(recurrent(), split_of(rows), ("y", "hn"))
    shapes = [spec.shape for spec in (*exported.signature.inputs, *exported.signature.outputs)]
    assert shapes == [
        ("batch", "time", 4),
        ("batch", 1, 8),
        ("batch", 1, 8),
        ("batch", "time", 8),
        ("batch", 1, 8),
    ]
    few = {name: array[:7] for name, array in rows.items()}
    inside = {name: np.ascontiguousarray(array.swapaxes(0, 1)) for name, array in few.items()}
    for came, wanted in zip(answers(exported.graph, **few), answers(recurrent(), **inside), strict=True):
        np.testing.assert_allclose(came, wanted.swapaxes(0, 1), rtol=1e-5, atol=1e-6)
    assert "the batch of 'x' moved from axis 1 to the front" in str(exported.notes[0]["changes"])


def test_an_axis_that_is_called_batch_is_the_rows() -> None:
    """An axis named `batch` is the rows', even if the first axis is free."""
    rows = {"x": random(20, 5, 4), "h": random(20, 1, 8), "c": random(20, 1, 8)}
    exported = from_onnx(recurrent(), split_of(rows), ("hn",))
    assert exported.signature.outputs[0].shape == ("batch", 1, 8)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([("x", FLOAT, ["n", 5]), ("rate", INT64, ["n"])], r"'x' has the shape \['n', 5\], the data"),
        ([("x", INT64, ["n", 3]), ("rate", INT64, ["n"])], r"'x' is int64, the data's is float32; .*astype"),
    ],
    ids=["another width", "another type"],
)
def test_an_input_that_takes_no_rows_is_refused(inputs: list[Any], message: str) -> None:
    """The error for an input without rows names the input, both shapes and the fix."""
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=FLOAT),
        helper.make_node("Cast", ["rate"], ["b"], to=FLOAT),
        helper.make_node("ReduceSum", ["a"], ["c"], keepdims=0),
        helper.make_node("Add", ["c", "b"], ["y"]),
    ]
    content = file_of(nodes, inputs, [("y", FLOAT, None)], {})
    rows = split_of({"x": random(20, 3), "rate": np.full(20, 16000)})
    with pytest.raises(ExportFailed, match=message):
        from_onnx(content, rows, ("y",))


def test_a_scalar_that_the_data_lacks_is_told_as_one() -> None:
    """The error for a scalar that the data lacks says to make it a constant."""
    content = file_of(
        [helper.make_node("Mul", ["x", "rate"], ["y"])],
        [("x", FLOAT, ["n", 3]), ("rate", FLOAT, [])],
        [("y", FLOAT, ["n", 3])],
        {},
    )
    with pytest.raises(ExportFailed, match=r"'rate' is one number for all rows.*make it a constant"):
        from_onnx(content, split_of({"x": random(20, 3)}), ("y",))
