"""A graph is compared with torch on every calibration row, beside the few of the first runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from export.data.datasets import Split
from export.errors import ExportFailed
from export.onnx.row_parity import Ask, RowDifference, compare_rows
from export.onnx.to_onnx import to_onnx
from serve.base.tensor import Arrays
from tests.export.graphs import split_of
from tests.export.onnx.test_parity import Model
from tests.export.onnx_files import FLOAT, answers, file_of, random, rare_classes


def rows_of(ordinary: int, other: NDArray[np.float64]) -> Split:
    """Positive rows without ties, then the others."""
    rows = np.random.default_rng(1).uniform(0.1, 0.9, (ordinary, 6))
    return split_of({"x": np.concatenate([rows, other]).astype(np.float32)})


TIED = np.full((2, 6), 3.0)
NEGATIVE = np.full((2, 6), -1.0)
NAN_LAST = np.array([[0.5, 0.4, 0.3, 0.2, 0.1, -1.0]] * 2)


@pytest.mark.parametrize(
    ("make_answer", "other"),
    [
        (lambda x, y: x.clamp(max=2).topk(3, 1)[1].float(), TIED),
        (lambda x, y: torch.log(x).argmax(1), NAN_LAST),
        (lambda x, y: torch.max_pool1d(torch.log(x)[:, None], 2).flatten(1), NEGATIVE),
    ],
    ids=["the order of equal numbers", "the class of NaN", "NaN through a pooling"],
)
def test_rows_that_the_first_runs_do_not_hold_are_compared(
    make_answer: Callable[..., torch.Tensor], other: NDArray[np.float64]
) -> None:
    """A graph that differs from torch on rows 40 and 41 alone is refused, and the error names them."""
    with pytest.raises(ExportFailed, match=r"y differs from torch's .* first on 40, 41 \(from 0\)"):
        to_onnx(Model(make_answer), rows_of(40, other), ("y",), 20)


def test_nan_in_both_is_no_difference() -> None:
    """Rows on which torch and the graph both answer NaN pass."""
    exported = to_onnx(Model(lambda x, y: torch.log(x) + y[:, :1]), rows_of(40, NEGATIVE), ("y",), 20)
    assert exported.parity is not None
    assert exported.parity.max_abs_difference < 1e-5


def ask_of(graph: bytes, other: bytes) -> Ask:
    """Answers of two graphs to the same inputs."""
    return lambda inputs: list(zip(answers(graph, **inputs), answers(other, **inputs), strict=True))


def test_rounding_on_any_row_is_no_difference() -> None:
    """Sums in another order pass on 200 rows, though rare classes differ far relative to their size."""
    graph, other = rare_classes(False), rare_classes(True)
    largest, difference = compare_rows(ask_of(graph, other), graph, split_of({"x": random(200, 16)}))
    assert difference is None
    assert 0 < largest < 1e-6


def test_the_first_wrong_rows_are_named() -> None:
    """A class that is wrong by half on every row is found, and the first five rows are named."""
    graph, other = rare_classes(False), rare_classes(True, (1.5, 1, 1, 1, 1, 1, 1, 1))
    _, difference = compare_rows(ask_of(graph, other), graph, split_of({"x": random(40, 16)}))
    assert difference is not None
    assert difference.rows == (0, 1, 2, 3, 4)


def classes(reverse: bool) -> bytes:
    """The larger of two sums with nearly equal weights, taken in one order or in the other; of equal sums,
    the first."""
    weights = np.random.default_rng(2).normal(0, 1, (64, 1)).astype(np.float32)
    order = np.arange(64)[:: -1 if reverse else 1].copy()
    nodes = [
        helper.make_node("Gather", ["x", "order"], ["h"], axis=1),
        helper.make_node("MatMul", ["h", "weights"], ["one"]),
        helper.make_node("MatMul", ["x", "others"], ["other"]),
        helper.make_node("Concat", ["one", "other"], ["sums"], axis=1),
        helper.make_node("ArgMax", ["sums"], ["y"], axis=1, keepdims=0),
    ]
    constants = {"order": order, "weights": weights[order], "others": weights}
    return file_of(nodes, [("x", FLOAT, ["n", 64])], [("y", TensorProto.INT64, ["n"])], constants)


def test_classes_that_rounding_decides_may_differ() -> None:
    """Classes that differ because two sums differ in their last bits are no difference."""
    graph, other = classes(False), classes(True)
    rows = split_of({"x": random(200, 64)})
    pairs = ask_of(graph, other)(rows.inputs)
    assert (pairs[0][0] != pairs[0][1]).mean() > 0.1
    assert compare_rows(ask_of(graph, other), graph, rows)[1] is None


def test_a_single_other_class_is_a_difference() -> None:
    """One class of 1,024 that rounding does not change is a difference, and its row is named."""
    split = split_of({"x": np.arange(1024, dtype=np.float32)})
    graph = file_of(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64)],
        [("x", FLOAT, ["n"])],
        [("y", TensorProto.INT64, ["n"])],
        {},
    )

    def ask(inputs: Arrays) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        rows = inputs["x"].astype(np.int64)
        return [(rows, np.where(rows == 700, 0, rows))]

    assert compare_rows(ask, graph, split)[1] == RowDifference(output=0, rows=(700,), share=np.inf)


def test_a_larger_split_is_compared_in_part_and_in_small_runs() -> None:
    """Of 5,000 rows, 1,024 from the first to the last are compared, at most 8 at a time."""
    runs: list[NDArray[Any]] = []

    def ask(inputs: Arrays) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        runs.append(inputs["row"])
        answer = np.zeros((len(inputs["row"]), 1), np.float32)
        return [(answer, answer)]

    compare_rows(ask, b"", split_of({"row": np.arange(5000)}))
    assert max(map(len, runs)) == 8
    rows = np.unique(np.concatenate(runs))
    assert (len(rows), rows[0], rows[-1]) == (1024, 0, 4999)
