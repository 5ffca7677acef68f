"""An answer must not depend on the other rows of its run; a graph that mixes rows is found."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from onnx import TensorProto, helper

from export.proof.repeatability.row_independence import NUMBER, find_dependence
from serve.engine.session import Session
from tests.export.graphs import Builder, encoder_graph, exported_of, split_of, texts, value

ROWS = split_of({"x": np.random.default_rng(0).normal(0, 1, (16, 6)).astype(np.float32)})


def session_of(graph: bytes, *, alone: bool = False) -> Session:
    return Session(graph, exported_of(graph).signature, "tiny/fp32", alone=alone)


def graph_of(build: Builder) -> bytes:
    inputs = [value("x", TensorProto.FLOAT, "batch", 6)]
    return build.finish(inputs, [value("scores", TensorProto.FLOAT, "batch", 3)])


def linear(build: Builder, x: str) -> None:
    build.add("MatMul", x, build.weight("weight", 6, 3), output="scores")


def centred() -> bytes:
    """The mean of the batch is taken from every row."""
    build = Builder()
    build.constant("axes", np.array([0], np.int64))
    linear(build, build.add("Sub", "x", build.add("ReduceMean", "x", "axes", keepdims=1)))
    return graph_of(build)


def softmax() -> bytes:
    """The scores of a class add up to 1 over the batch."""
    build = Builder()
    build.add("Softmax", build.add("MatMul", "x", build.weight("weight", 6, 3)), output="scores", axis=0)
    return graph_of(build)


def one_range() -> bytes:
    """8-bit integers over the range of the whole batch."""
    build = Builder()
    names = ("integers", "scale", "zero")
    build.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], names))
    linear(build, build.add("DequantizeLinear", *names))
    return graph_of(build)


def row_after_row() -> bytes:
    """Every row is added to those before it."""
    build = Builder()
    build.constant("axis", np.array(0, np.int64))
    linear(build, build.add("CumSum", "x", "axis"))
    return graph_of(build)


def counted() -> bytes:
    """Divided by the number of rows."""
    build = Builder()
    build.constant("first", np.array(0, np.int64))
    count = build.add(
        "Cast", build.add("Gather", build.add("Shape", "x"), "first"), to=int(TensorProto.FLOAT)
    )
    linear(build, build.add("Div", "x", count))
    return graph_of(build)


def masked() -> bytes:
    """The mean of the batch again, beside a class that is out of the question for everybody."""
    build = Builder()
    build.constant("axes", np.array([0], np.int64))
    build.constant("mask", np.array([0, 0, -1e9], np.float32))
    mean = build.add("ReduceMean", "x", "axes", keepdims=1)
    scores = build.add("MatMul", build.add("Sub", "x", mean), build.weight("weight", 6, 3))
    build.add("Add", scores, "mask", output="scores")
    return graph_of(build)


def in_large_runs(least: int = 8) -> bytes:
    """Return a graph that uses the batch's mean if there are more rows than this."""
    build = Builder()
    build.constant("axes", np.array([0], np.int64))
    build.constant("first", np.array(0, np.int64))
    build.constant("least", np.array(least, np.int64))
    many = build.add("Greater", build.add("Gather", build.add("Shape", "x"), "first"), "least")
    build.constant("nothing", np.array(0, np.float32))
    mean = build.add("ReduceMean", "x", "axes", keepdims=1)
    linear(build, build.add("Sub", "x", build.add("Where", many, mean, "nothing")))
    return graph_of(build)


def placed() -> bytes:
    """A row of a table is added by the place in the run: little to the first four, more to others."""
    build = Builder()
    table = np.random.default_rng(0).normal(0, 0.01, (64, 6)).astype(np.float32)
    table[4:] *= 25
    names = [
        build.constant("table", table),
        build.constant("start", np.array([0], np.int64)),
        build.add("Shape", "x", end=1),
        "start",
    ]
    linear(build, build.add("Add", "x", build.add("Slice", *names)))
    return graph_of(build)


def counted_above_four() -> bytes:
    """Return a graph that adds more, the more rows above four there are."""
    build = Builder()
    build.constant("four", np.array([4], np.float32))
    build.constant("little", np.array([0.01], np.float32))
    count = build.add("Cast", build.add("Shape", "x", end=1), to=int(TensorProto.FLOAT))
    more = build.add("Mul", build.add("Relu", build.add("Sub", count, "four")), "little")
    linear(build, build.add("Add", "x", more))
    return graph_of(build)


@pytest.mark.parametrize(
    ("graph", "beside"),
    [
        (centred, "other rows"),
        (softmax, "other rows"),
        (row_after_row, "other rows"),
        (one_range, "other rows"),
        (masked, "other rows"),
        (in_large_runs, "other rows in a run of 16"),
        (partial(in_large_runs, 20), "other rows in a run of 64"),
        (counted, NUMBER),
        (placed, NUMBER),
        (counted_above_four, NUMBER),
    ],
)
def test_a_graph_that_mixes_rows_is_found_out(graph: Callable[[], bytes], beside: str) -> None:
    """A graph is found to depend on the other rows' values, on their number or on a row's place."""
    assert find_dependence(session_of(graph()), graph(), ROWS) == beside


def test_a_range_that_only_a_large_row_moves_is_found_out() -> None:
    """A range over all rows is found by a row that is 10,000 times as large."""
    same = np.tile(np.linspace(-1, 1, 6, dtype=np.float32), (16, 1))
    assert (
        find_dependence(session_of(one_range()), one_range(), split_of({"x": same}))
        == "rows 10000 times as large"
    )


def test_rows_that_have_a_run_each_cannot_see_each_other() -> None:
    """A graph with one range for all rows passes if each row has a run of its own."""
    assert find_dependence(session_of(one_range(), alone=True), one_range(), ROWS) is None


def test_texts_are_each_their_own() -> None:
    """An encoder does not mix rows."""
    assert find_dependence(session_of(encoder_graph(1)), encoder_graph(1), texts(16, 0)) is None


def test_a_graph_of_small_rests_is_not_refused() -> None:
    """A graph with rounding errors from the difference of large numbers is not refused."""
    build = Builder()
    build.constant("large", np.array([3e4], np.float32))
    scores = build.add("MatMul", "x", build.weight("weight", 6, 3))
    build.add("Sub", build.add("Add", scores, "large"), "large", output="scores")
    assert find_dependence(session_of(graph_of(build)), graph_of(build), ROWS) is None
