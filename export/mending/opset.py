"""Opset: an old graph in newer standard operators, which quantization needs."""

from typing import Any

import onnx

from export.errors import ExportFailed, reason_of

# Quantization per channel needs it, and it is of 2020.
_LEAST = 13
_TARGET = 18
# Of the file's format; from 4 on a weight need not be listed as an input as well.
_FORMAT = 8


def raise_opset(model: Any) -> tuple[Any, str | None]:
    """The model in opset 18 where it is in one before 13, and what was done in words. Raises ExportFailed
    when onnx cannot convert it."""
    model.ir_version = max(model.ir_version, _FORMAT)
    opset = next(item.version for item in model.opset_import if item.domain == "")
    if opset >= _LEAST:
        return model, None
    for item in model.graph.output:
        # It believes a promise that the file may not keep.
        item.type.tensor_type.ClearField("shape")
    try:
        raised = onnx.version_converter.convert_version(model, _TARGET)
    except Exception as error:  # onnx raises its own classes, and RuntimeError from C++
        raise ExportFailed(
            f"the file has opset {opset}, at least {_LEAST} is needed, and onnx cannot convert it to "
            f"{_TARGET}: {reason_of(error)}; export it again with a higher one (target_opset, or --opset), "
            f"best {_TARGET}"
        ) from None
    return raised, f"opset {opset} raised to {_TARGET}"
