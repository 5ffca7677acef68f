"""Quantize: 8-bit weights and activations in QDQ form, ranges taken from real rows."""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from export.datasets import Split
from export.errors import StepFailed
from export.graph import clean
from export.recipe import Quantize

# What pays in 8 bits for convolutional and plain feed-forward networks. onnxruntime's own list adds
# Softmax, Mul and the normalizations, which lose accuracy and gain nothing. Relu and Clip must be here:
# only then do they vanish into the range of the layer before, and keep what follows in 8 bits.
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_OPERATORS = (*_WEIGHTED, "Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool")
# onnxruntime's entropy is missing: with its 128 bins it comes out at min and max.
_CALIBRATION = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
_TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
_MAX_BATCH_ROWS = 32


def quantize(graph: bytes, settings: Quantize, calibration: Split) -> bytes:
    """The graph with its convolutions and matrix products in 8 bits. Raises StepFailed when it has none."""
    with tempfile.TemporaryDirectory(prefix="counterweight-") as name:
        folder = Path(name)
        (folder / "float.onnx").write_bytes(graph)
        quant_pre_process(folder / "float.onnx", folder / "prepared.onnx", auto_merge=True)
        # Percentile reports on standard output, which belongs to the command's figures.
        with contextlib.redirect_stdout(sys.stderr):
            quantize_static(
                folder / "prepared.onnx",
                folder / "quantized.onnx",
                _Rows(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_OPERATORS),
                per_channel=settings.per_channel,
                activation_type=_TYPES[settings.activations],
                weight_type=_TYPES[settings.weights],
                calibrate_method=_CALIBRATION[settings.calibrate],
                extra_options={"MatMulConstBOnly": True},
            )
        quantized = onnx.load(folder / "quantized.onnx")
    if not _count_quantized(quantized):
        found = ", ".join(sorted({node.op_type for node in quantized.graph.node}))
        raise StepFailed(
            f"quantization changed nothing: the graph has {found} and none of {', '.join(_WEIGHTED)} "
            "with constant weights; drop the step"
        )
    return clean(quantized)


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    """The calibration rows, in batches and in order."""

    def __init__(self, split: Split) -> None:
        # All of one size: percentile stacks the batches' results.
        size = max(size for size in range(1, _MAX_BATCH_ROWS + 1) if len(split) % size == 0)
        self._batches = iter(np.arange(len(split)).reshape(-1, size))
        self._split = split

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        rows = next(self._batches, None)
        return None if rows is None else dict(self._split.take(rows))


def _count_quantized(model: Any) -> int:
    """How many of the operators read a weight that was turned into integers."""
    constants = {initializer.name for initializer in model.graph.initializer}
    weights = {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    return sum(node.op_type in _WEIGHTED and bool(weights & {*node.input}) for node in model.graph.node)
