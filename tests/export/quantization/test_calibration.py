"""Calibration finds ranges from rows, in memory that does not grow with them."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from export.data.datasets import Split
from export.errors import StepFailed
from export.quantization.calibration import TensorWatch, calibrate
from export.step import Quantize
from tests.export.graphs import conv_graph, encoder_graph, images, prepared, texts

MINMAX = Quantize(step="quantize", method="static")
TENSORS = ("image", "logits")


@pytest.fixture(scope="module")
def model() -> Any:
    """The convolutional graph, prepared."""
    return prepared(conv_graph())


def inner(model: Any) -> tuple[str, ...]:
    """The outputs of its convolutions."""
    return tuple(node.output[0] for node in model.graph.node if node.op_type == "Conv")


def test_minmax_is_the_whole_range(model: Any) -> None:
    """The `minmax` range equals numpy's over all rows."""
    rows = images(40, 0)
    name = inner(model)[0]
    values = TensorWatch(model, (name,)).look(rows.inputs)[name]
    found = calibrate(model, (name,), rows, MINMAX).ranges[name]
    assert found == pytest.approx((values.min(), values.max()), rel=1e-5)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_outliers_are_left_out(model: Any, method: str) -> None:
    """One extreme pixel in 40 images does not stretch the range."""
    rows = images(40, 0)
    spoilt = rows.inputs["image"].copy()
    spoilt[0, 0, 0, 0] = 100
    settings = Quantize.model_validate({"step": "quantize", "method": "static", "calibrate": method})
    settings = settings.model_copy(update={"percentile": 99.9})
    found = calibrate(model, ("image",), replace(rows, inputs={"image": spoilt}), settings)
    low, high = found.ranges["image"]
    assert low < -2
    assert high < 50


@pytest.mark.parametrize("method", ["minmax", "error", "percentile", "entropy"])
def test_memory_does_not_grow_with_the_rows(model: Any, method: str) -> None:
    """128 rows hold as many bytes at once as 32."""
    settings = MINMAX.model_copy(update={"calibrate": method, "percentile": 99.0})
    held = [calibrate(model, inner(model), images(rows, 0), settings).held_bytes for rows in (32, 128)]
    assert held[0] == held[1]
    # Two tensors of 16 x 8 x 8 floats in 8 rows, and at most 8192 counts of 8 bytes for each.
    assert held[0] <= 2 * (8 * 16 * 64 * 4 + 8192 * 8)


def test_texts_are_not_padded_to_the_longest() -> None:
    """Rows are padded to their batch only: of rows with at most 4 of 12 tokens, 7 at a time, 4 tokens are
    held."""
    model = prepared(encoder_graph(1))
    name = next(node.output[0] for node in model.graph.node if node.op_type == "Gelu")
    rows = texts(19, 0)
    assert rows.lengths is not None
    short = replace(rows, lengths=np.minimum(rows.lengths, 4))
    assert calibrate(model, (name,), short, MINMAX).held_bytes == 7 * 4 * 32 * 4


def test_too_few_rows_are_refused(model: Any) -> None:
    """18 rows are refused, and the error gives the minimum of 19."""
    with pytest.raises(StepFailed, match="has 18 rows; ranges need at least 19"):
        calibrate(model, TENSORS, images(18, 0), MINMAX)


def test_a_percentile_without_effect_is_refused(model: Any) -> None:
    """A percentile that would exclude no value is refused."""
    settings = MINMAX.model_copy(update={"calibrate": "percentile"})
    with pytest.raises(StepFailed, match="one value in 100000, and the largest tensor, 'image', has 2048"):
        calibrate(model, TENSORS, images(32, 0), settings)


def test_not_a_number_is_named() -> None:
    """A weight that is NaN is reported by the first tensor that it affects."""
    broken = onnx.load_from_string(conv_graph())
    bias = next(item for item in broken.graph.initializer if item.name == "features.1.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(16, np.nan, np.float32), bias.name))
    model = prepared(broken.SerializeToString())
    with pytest.raises(StepFailed, match=f"make a value of nan in the tensor '{inner(model)[1]}'"):
        calibrate(model, inner(model), images(32, 0), MINMAX)


def test_a_tensor_that_is_always_zero_has_a_range(model: Any) -> None:
    """A tensor of zeros has the range (0, 0)."""
    rows = Split(
        inputs={"image": np.zeros((32, 1, 8, 8), np.float32)},
        labels=None,
        lengths=None,
        row_hashes=tuple(map(str, range(32))),
    )
    settings = MINMAX.model_copy(update={"calibrate": "entropy"})
    assert calibrate(model, ("image",), rows, settings).ranges["image"] == (0, 0)
