"""The node that mixes rows is named."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.proof.repeatability.mixing import advise, explain_dependence, find_mixer
from export.proof.repeatability.row_independence import NAN, find_dependence
from export.step import Quantize
from export.steps.quantize import quantize
from serve.engine.session import Session
from tests.export.graphs import context_for, encoder_graph, exported_of, lstm_graph, split_of, texts
from tests.export.proof.repeatability.test_row_independence import (
    ROWS,
    centred,
    counted,
    counted_above_four,
    in_large_runs,
    masked,
    one_range,
    placed,
    row_after_row,
    session_of,
    softmax,
)


@pytest.mark.parametrize(
    ("graph", "mixer"),
    [
        (centred, "ReduceMean 'node_reducemean_0'"),
        (softmax, "Softmax 'node_scores'"),
        (row_after_row, "CumSum 'node_cumsum_0'"),
        (one_range, "DynamicQuantizeLinear 'integers'"),
        (masked, "ReduceMean 'node_reducemean_0'"),
        (in_large_runs, "ReduceMean 'node_reducemean_3'"),
        (partial(in_large_runs, 20), "ReduceMean 'node_reducemean_3'"),
        (counted, "Div 'node_div_3'"),
        (placed, "Slice 'node_slice_1'"),
        (counted_above_four, "Add 'node_add_5'"),
    ],
)
def test_the_first_node_that_mixes_rows_is_named(graph: Callable[[], bytes], mixer: str) -> None:
    """The node that mixes rows is given by its operator and name, or by its output if it has no name."""
    beside = find_dependence(session_of(graph()), graph(), ROWS)
    assert beside is not None
    assert find_mixer(graph(), ROWS, beside) == mixer


def test_an_lstm_with_one_range_for_all_rows_is_named(tmp_path: Path) -> None:
    """The LSTM with one range for the whole batch is named as the node that mixes rows."""
    steps = np.random.default_rng(0).normal(0, 1, (40, 5, 6)).astype(np.float32)
    rows = split_of({"steps": steps})
    context = context_for("embedding", rows, rows, tmp_path)
    made = quantize(exported_of(lstm_graph()), Quantize(step="quantize", method="dynamic"), context)
    beside = find_dependence(Session(made.graph, made.signature, "tiny/int8"), made.graph, rows)
    assert beside is not None
    assert find_mixer(made.graph, rows, beside) == "DynamicQuantizeLSTM 'node_lstm'"


def test_where_nothing_mixes_nothing_is_named() -> None:
    """No node is named in an encoder, which does not mix rows."""
    assert find_mixer(encoder_graph(1), texts(16, 0), "other rows") is None


@pytest.mark.parametrize(
    ("graph", "advice"),
    [
        (one_range, "DynamicQuantizeLinear 'integers' uses one quantization range"),
        (centred, "look for a mean"),
    ],
)
def test_the_way_out_is_that_of_the_graph(graph: Callable[[], bytes], advice: str) -> None:
    """The advice depends on the graph: dynamic quantization has its own."""
    assert advice in advise(onnx.load_from_string(graph()).graph)


def test_nan_that_reaches_another_row_is_named() -> None:
    """Where only rows of NaN change an answer, the advice names NaN, and neither a mean nor a Softmax."""
    words = explain_dependence("tiny/fp32", b"", NAN, "Clip 'node_y'")
    assert "only NaN in one row reaches another" in words
    assert "Softmax" not in words
