"""A graph in half floats is quantized as its float32 equal is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from export.data.datasets import Split
from export.step import Quantize
from export.steps.quantize import quantize
from tests.export.graphs import (
    context_for,
    conv_graph,
    encoder_graph,
    exported_of,
    images,
    lstm_graph,
    split_of,
    texts,
)


@pytest.mark.parametrize("method", ["static", "dynamic", "weights"])
@pytest.mark.parametrize("graph", [conv_graph, encoder_graph, lstm_graph])
def test_half_floats_become_the_integers_that_floats_become(
    graph: Callable[[], bytes], method: str, tmp_path: Path
) -> None:
    """A graph in half floats gives the same quantized layers and shares as its float32 equal."""
    rows = {conv_graph: images, encoder_graph: texts, lstm_graph: steps}[graph]
    context = context_for("embedding", rows(32, 0), rows(64, 1), tmp_path)
    half = convert_float_to_float16(onnx.load_from_string(graph()), keep_io_types=True)
    OnnxModel(half).topological_sort()
    settings = Quantize.model_validate({"step": "quantize", "method": method})
    notes: list[Any] = [
        quantize(replace(exported_of(graph()), graph=content), settings, context).notes[-1]
        for content in (graph(), half.SerializeToString())
    ]
    for name in ("integers", "quantized", "stays_float"):
        assert notes[0][name] == notes[1][name]
    [floats], [halves] = (note["output_error"].values() for note in notes)
    assert halves == pytest.approx(floats, rel=0.3, abs=0.003)


def steps(rows: int, seed: int) -> Split:
    """Random rows for `lstm_graph`."""
    return split_of({"steps": np.random.default_rng(seed).normal(0, 1, (rows, 5, 6)).astype(np.float32)})
