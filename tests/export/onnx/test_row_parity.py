"""A graph is compared with torch on every calibration row, beside the few of the first runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.data.datasets import Split
from export.errors import ExportFailed
from export.onnx.row_parity import Ask, RowDifference, compare_rows
from export.onnx.to_onnx import to_onnx
from serve.base.tensor import Arrays
from tests.export.graphs import split_of
from tests.export.onnx.test_parity import Model
from tests.export.onnx_files import answers, random, rare_classes


def rows_of(ordinary: int, other: NDArray[np.float64]) -> Split:
    """Positive rows without ties, then the others."""
    rows = np.random.default_rng(1).uniform(0.1, 0.9, (ordinary, 6))
    return split_of({"x": np.concatenate([rows, other]).astype(np.float32)})


TIED = np.full((2, 6), 3.0)
NEGATIVE = np.full((2, 6), -1.0)


@pytest.mark.parametrize(
    ("make_answer", "other"),
    [
        (lambda x, y: x.clamp(max=2).topk(3, 1)[1].float(), TIED),
        (lambda x, y: torch.max_pool1d(torch.log(x)[:, None], 2).flatten(1), NEGATIVE),
    ],
    ids=["the order of equal numbers", "NaN through a pooling"],
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


@pytest.mark.parametrize(
    ("wrong", "difference"),
    [
        ((700,), None),
        ((900, 700), RowDifference(output=0, rows=(700, 900), share=np.inf)),
    ],
    ids=["one of 1,024", "two of 1,024"],
)
def test_few_integers_may_differ(wrong: tuple[int, ...], difference: RowDifference | None) -> None:
    """One class of 1,024 may be another, as rounding decides between nearly equal numbers; two may not."""
    split = split_of({"row": np.arange(1024)})

    def ask(inputs: Arrays) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return [(np.isin(inputs["row"], wrong).astype(np.int64), np.zeros(len(inputs["row"]), np.int64))]

    assert compare_rows(ask, b"", split)[1] == difference


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
