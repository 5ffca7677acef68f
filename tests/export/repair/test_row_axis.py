"""If a file does not name the axis of its rows, its answers show it."""

from typing import Any

import numpy as np
import pytest
from onnx import helper

from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, answers, file_of, random

STEPS, WIDTH = 6, 4
W = random(WIDTH, 3)


def steps_first(whole: bool) -> bytes:
    """Steps [steps, rows, 4], summed up along the steps, to scores of each step (`whole`) or the last one."""
    nodes = [helper.make_node("CumSum", ["x", "zero"], ["sums"])]
    if not whole:
        nodes.append(helper.make_node("Gather", ["sums", "last"], ["end"], axis=0))
    nodes.append(helper.make_node("MatMul", ["sums" if whole else "end", "w"], ["y"]))
    weights = {"w": W, "zero": np.int64(0), "last": np.int64(-1)}
    shape = ["p", "q", 3] if whole else ["q", 3]
    return file_of(nodes, [("x", FLOAT, ["p", "q", WIDTH])], [("y", FLOAT, shape)], weights)


@pytest.mark.parametrize("whole", [False, True], ids=["last step", "each step"])
def test_rows_lie_where_each_is_answered_by_itself(whole: bool) -> None:
    """The rows are on the axis along which answers are independent, even if another axis is free, too."""
    exported = from_onnx(steps_first(whole), split_of({"x": random(20, STEPS, WIDTH)}), ("y",))
    x = random(5, STEPS, WIDTH, seed=1)
    wanted: Any = x.cumsum(1) @ W
    came = answers(exported.graph, x=x)[0]
    np.testing.assert_allclose(came, wanted if whole else wanted[:, -1], rtol=1e-4, atol=1e-5)


def test_a_file_that_works_along_no_axis_is_refused() -> None:
    """If no axis works, the error names the fix."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0, 1])]
    content = file_of(nodes, [("x", FLOAT, ["p", "q", WIDTH])], [("y", FLOAT, [1, 1, WIDTH])], {})
    message = (
        r"along the axes 0, 1 of the input 'x', .* works along none .*does not follow the batch\); convert"
    )
    with pytest.raises(ExportFailed, match=message):
        from_onnx(content, split_of({"x": random(20, STEPS, WIDTH)}), ("y",))
