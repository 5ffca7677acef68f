"""Work on a graph that is to change nothing is found out when it does."""

import numpy as np
import pytest
from onnx import helper

from export.errors import StepFailed
from export.rewrites.rewritten import prove_same
from tests.export.files import FLOAT, file_of, random
from tests.export.graphs import split_of


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


def rare(reverse: bool, factors: tuple[float, ...] = (1,) * 8) -> bytes:
    """A Sigmoid for each of eight classes, all but the first of which are rare; the sums are taken in one
    order or in the other."""
    weights = np.random.default_rng(1).normal(0, 0.5, (16, 8)).astype(np.float32)
    step = -1 if reverse else 1
    nodes = [
        helper.make_node("Gather", ["x", "order"], ["h"], axis=1),
        helper.make_node("Gemm", ["h", "weights", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["shares"]),
        helper.make_node("Mul", ["shares", "factors"], ["y"]),
    ]
    constants = {
        "order": np.arange(16)[::step].copy(),
        "weights": weights[::step].copy(),
        "bias": np.array([0, *[-12.0] * 7], np.float32),
        "factors": np.array(factors, np.float32),
    }
    return file_of(nodes, [("x", FLOAT, ["n", 16])], [("y", FLOAT, ["n", 8])], constants)


def test_rounding_of_larger_numbers_is_no_other_model() -> None:
    """Rounding differences in rare classes are accepted."""
    split = split_of({"x": random(40, 16)})
    assert 0 < prove_same(rare(False), rare(True), split) < 2e-7


def test_a_wrong_rare_class_is_another_model() -> None:
    """A factor of 1.5 on a rare class with tiny numbers is found."""
    split = split_of({"x": random(40, 16)})
    wrong = rare(True, (1, 1.5, 1, 1, 1, 1, 1, 1))
    with pytest.raises(StepFailed, match="not equivalent"):
        prove_same(rare(False), wrong, split)
