"""A fixed batch is freed only if rows have the same answers together as alone."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from export.answer_distance import SAME_FLOATS
from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from export.repair.batch_dimension import free_batch
from export.repair.input_axes import read_forms
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, INT64, answers, file_of, random, rare_classes

ROWS = split_of({"x": random(20, 2, 3)})
W = random(6, 4)


def fixed(shape: list[int], batch: int = 1, *more: Any) -> bytes:
    """x [batch, 2, 3], reshaped to a constant shape, times a weight."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["h" if more else "y"]),
        *more,
    ]
    values = [("x", FLOAT, [batch, 2, 3])], [("y", FLOAT, [batch, 4])]
    weights = {"w": W, "shape": np.array(shape, np.int64), "four": np.array([4, 4], np.int64)}
    return file_of(nodes, *values, weights)


@pytest.mark.parametrize(
    ("shape", "batch"),
    [([1, -1], 1), ([1, 6], 1), ([-1, 6], 1), ([4, 6], 4)],
    ids=["rest behind", "all constant", "free already", "a batch of 4"],
)
def test_a_fixed_batch_is_freed(shape: list[int], batch: int) -> None:
    """A fixed batch is freed, with its copies in constants, and each row keeps its answer."""
    exported = from_onnx(fixed(shape, batch), ROWS, ("y",))
    assert exported.signature.inputs[0].shape == ("batch", 2, 3)
    assert exported.signature.batches
    x = random(7, 2, 3, seed=1)
    np.testing.assert_allclose(answers(exported.graph, x=x)[0], x.reshape(7, 6) @ W, rtol=1e-4, atol=1e-6)
    assert exported.notes[0]["changes"] == [f"a batch fixed to {batch} freed"]


def test_a_shape_that_is_made_of_weights_stays() -> None:
    """A reshape of a bias to [1, 4] is not changed when the batch is freed."""
    nodes = [
        helper.make_node("Reshape", ["x", "rows"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["h"]),
        helper.make_node("Reshape", ["b", "one"], ["bias"]),
        helper.make_node("Add", ["h", "bias"], ["y"]),
    ]
    weights = {"w": W, "b": random(4), "rows": np.array([1, 6]), "one": np.array([1, -1])}
    content = file_of(nodes, [("x", FLOAT, [1, 2, 3])], [("y", FLOAT, [1, 4])], weights)
    x = random(7, 2, 3, seed=1)
    came = answers(from_onnx(content, ROWS, ("y",)).graph, x=x)[0]
    np.testing.assert_allclose(came, x.reshape(7, 6) @ W + weights["b"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([helper.make_node("Softmax", ["h"], ["y"], axis=0)], "away from the file's own to fewer"),
        ([helper.make_node("ReduceMean", ["h"], ["y"], axes=[0])], "does not follow the batch"),
        ([helper.make_node("Expand", ["h", "four"], ["y"])], "cannot run the file on"),
    ],
    ids=["over the batch", "one answer for all", "expanded"],
)
def test_a_batch_of_4_that_is_really_fixed_is_refused(more: list[Any], reason: str) -> None:
    """The error for a batch size that is really fixed names the input, the number, the reason and the fix."""
    content = fixed([4, 6], 4, *more)
    message = (
        rf"takes 4 rows at once \(its input 'x'\), and no other number: .*{reason}.*; (convert it|look for)"
    )
    with pytest.raises(ExportFailed, match=message):
        from_onnx(content, ROWS, ("y",))


def test_a_mask_hides_no_other_answer() -> None:
    """A large masked value does not hide that other values depend on the batch."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["shares"], axis=0),
        helper.make_node("Add", ["shares", "mask"], ["y"]),
    ]
    mask = np.array([0, 0, -1e9], np.float32)
    content = file_of(nodes, [("x", FLOAT, [4, 3])], [("y", FLOAT, [4, 3])], {"mask": mask})
    with pytest.raises(ExportFailed, match="away from the file's own to fewer"):
        from_onnx(content, split_of({"x": random(20, 3)}), ("y",))


def test_inputs_that_take_different_numbers_are_refused() -> None:
    """Inputs with different fixed numbers of rows are refused."""
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    content = file_of(nodes, [("a", FLOAT, [2, 3]), ("b", FLOAT, [4, 3])], [("y", FLOAT, [4, 3])], {})
    rows = split_of({"a": random(9, 3), "b": random(9, 3)})
    with pytest.raises(ExportFailed, match="different numbers of rows at once: 'a' 2, 'b' 4"):
        from_onnx(content, rows, ("y",))


def test_labels_are_compared_as_they_are() -> None:
    """The labels of a freed graph are compared for equality."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("ArgMax", ["flat"], ["y"], axis=1, keepdims=0),
    ]
    content = file_of(
        nodes, [("x", FLOAT, [1, 2, 3])], [("y", INT64, [1])], {"shape": np.array([1, 6], np.int64)}
    )
    exported = from_onnx(content, ROWS, ("y",))
    x = random(7, 2, 3, seed=1)
    assert np.array_equal(answers(exported.graph, x=x)[0], x.reshape(7, 6).argmax(1))


@pytest.mark.parametrize(("factor", "same"), [(1, True), (1.5, False)], ids=["rounding", "another class"])
def test_rounding_of_larger_numbers_is_no_other_answer(factor: float, same: bool) -> None:
    """Rounding that is large relative to a small answer of a Sigmoid is accepted; a changed class is not."""
    file, changed = (
        onnx.load_from_string(rare_classes(reverse, (1, share, *[1] * 6)))
        for reverse, share in ((False, 1), (True, factor))
    )
    rows = split_of({"x": random(40, 16)})
    [forms, *_] = read_forms(file.graph, rows)
    if same:
        assert SAME_FLOATS < (free_batch(changed, file, rows, forms, changed=True)[1] or 0) < 0.1
    else:
        with pytest.raises(ExportFailed, match="away from the file's own"):
            free_batch(changed, file, rows, forms, changed=True)
