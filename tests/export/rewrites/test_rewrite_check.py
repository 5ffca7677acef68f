"""A rewrite that should not change a graph's answers is refused if it does."""

import numpy as np
import pytest
from onnx import helper

from export.errors import StepFailed
from export.rewrites.rewrite_check import largest_difference, prove_same
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, file_of, random, rare_classes


def times(factors: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bytes:
    """x times these, and one more place that is never taken."""
    nodes = [helper.make_node("Mul", ["x", "factors"], ["h"]), helper.make_node("Add", ["h", "mask"], ["y"])]
    return file_of(
        nodes,
        [("x", FLOAT, ["n", 3])],
        [("y", FLOAT, ["n", 3])],
        {"factors": factors, "mask": np.array([0, 0, -1e9], np.float32)},
    )


@pytest.mark.parametrize("size", [1.0, 1e-6], ids=["beside a mask", "tiny"])
def test_another_model_is_refused(size: float) -> None:
    """A factor of 1.01 in one place is found, whatever the size of the values."""
    split = split_of({"x": random(20, 3)})
    before, after = (
        times(np.float32(size) * np.ones(3, np.float32)),
        times(np.float32(size) * np.array([1, 1.01, 1], np.float32)),
    )
    assert prove_same(before, before, split) == 0
    with pytest.raises(StepFailed, match="not equivalent"):
        prove_same(before, after, split)


def test_rounding_of_larger_numbers_is_no_other_model() -> None:
    """Rounding differences in rare classes are accepted."""
    split = split_of({"x": random(40, 16)})
    assert 0 < prove_same(rare_classes(False), rare_classes(True), split) < 2e-7


def test_a_wrong_rare_class_is_another_model() -> None:
    """A factor of 1.5 on a rare class with tiny numbers is found."""
    split = split_of({"x": random(40, 16)})
    wrong = rare_classes(True, (1, 1.5, 1, 1, 1, 1, 1, 1))
    with pytest.raises(StepFailed, match="not equivalent"):
        prove_same(rare_classes(False), wrong, split)


def test_strings_have_no_size() -> None:
    """The largest difference is taken over the numbers, and is 0 if all outputs are strings."""
    names, scores = np.array(["a", "b"], object), np.array([0.5, 2], np.float32)
    assert largest_difference([(names, names)]) == 0
    assert largest_difference([(names, names), (scores, scores + 1)]) == 1
