"""The longest input of a graph with a limit is found."""

import numpy as np
import pytest
from onnx import TensorProto

from export.max_length import find_max_length
from serve.base.tensor import Signature, TensorSpec
from serve.engine.session import Session
from tests.export.graphs import Builder, split_of, value

SIGNATURE = Signature(
    inputs=(TensorSpec(name="ids", datatype="INT64", shape=("batch", "tokens")),),
    outputs=(TensorSpec(name="scores", datatype="FP32", shape=("batch", "tokens", 4)),),
)
ROWS = split_of({"ids": np.random.default_rng(0).integers(0, 30, (12, 9))})


def session(positions: int | None, heads: int = 1) -> Session:
    """Return a session of a table of words plus positions; a length must be a multiple of `heads`."""
    build = Builder()
    last = build.add("Gather", build.weight("words", 30, 4), "ids")
    if positions is not None:
        length = build.add("Shape", "ids", start=1, end=2)
        zero = build.constant("zero", np.array([0]))
        first = build.add("Slice", build.weight("positions", positions, 4), zero, length, zero)
        last = build.add("Add", last, first)
    if heads > 1:
        shape = build.constant("split", np.array([0, -1, heads, 4]))
        back = build.constant("join", np.array([0, -1, 4]))
        last = build.add("Reshape", build.add("Reshape", last, shape), back)
    build.add("Identity", last, output="scores")
    graph = build.finish(
        [value("ids", TensorProto.INT64, "batch", "tokens")],
        [value("scores", TensorProto.FLOAT, "batch", "tokens", 4)],
    )
    return Session(graph, SIGNATURE, "words", sizes={"tokens": 9 if heads == 1 else heads})


@pytest.mark.parametrize("positions", [9, 10, 64, 77])
def test_positions_are_a_limit(positions: int) -> None:
    """The limit equals the size of the position table exactly."""
    assert find_max_length(session(positions), ROWS) == {"tokens": positions}


def test_without_a_limit_there_is_none() -> None:
    """There is no limit if the graph has none up to the largest size tried."""
    assert find_max_length(session(None), ROWS) == {}
    assert find_max_length(session(5000), ROWS) == {}


def test_a_slow_graph_is_not_taken_for_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a run is slow, the search for the longest input stops without a wrong limit."""
    monkeypatch.setattr("export.max_length._SLOW_S", 0.0)
    assert find_max_length(session(9), ROWS) == {"tokens": 9}
    assert find_max_length(session(77), ROWS) == {}


def test_a_graph_that_takes_some_lengths_only_has_no_longest() -> None:
    """A graph that accepts some lengths below its limit and not others has no longest."""
    assert find_max_length(session(77, heads=4), ROWS) == {}


def test_a_dimension_of_fixed_size_has_none() -> None:
    """An input without free sizes has no longest."""
    fixed = session(9)
    fixed.sizes = {}
    assert find_max_length(fixed, ROWS) == {}
