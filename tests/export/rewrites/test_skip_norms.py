"""Skip connections are rewritten so that onnxruntime does not fuse them into its slow kernel."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from export.rewrites.skip_norms import unskip
from export.training.answers import graph_answers
from tests.export.graphs import conv_graph, encoder_graph, operators, texts


def loaded(graph: bytes) -> dict[str, int]:
    """Return the operators of the graph that onnxruntime loads."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "loaded.onnx")
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return operators(Path(options.optimized_model_filepath).read_bytes())


def test_onnxruntime_leaves_it_alone() -> None:
    """onnxruntime fuses four skip connections before the rewrite, and none after it."""
    model = onnx.load_from_string(encoder_graph())
    assert loaded(encoder_graph())["SkipLayerNormalization"] == 4
    assert unskip(model) == 4
    assert loaded(model.SerializeToString())["LayerNormalization"] == 4


def test_the_answers_are_the_same() -> None:
    """The rewritten graph gives the same answers."""
    model = onnx.load_from_string(encoder_graph())
    unskip(model)
    rows = texts(8, 0)
    came, wanted = (graph_answers(graph, rows) for graph in (model.SerializeToString(), encoder_graph()))
    np.testing.assert_allclose(came, wanted, atol=1e-5)


def test_other_additions_stay() -> None:
    """A graph without normalization is unchanged."""
    model = onnx.load_from_string(conv_graph())
    assert unskip(model) == 0
    assert model.SerializeToString() == onnx.load_from_string(conv_graph()).SerializeToString()
