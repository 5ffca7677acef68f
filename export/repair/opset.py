"""Converts an old graph to a newer version of the standard operators, which quantization needs."""

from typing import Any

import onnx

from export.errors import ExportFailed, reason_of

# Quantization per channel needs this version, from 2020.
_LEAST = 13
_TARGET = 18
# Versions of the file format: from 4 on, a weight need not also be listed as an input; onnxruntime 1.31 reads
# up to 13, and nothing in a later one is needed for opsets that it has.
_LEAST_FORMAT, _MOST_FORMAT = 8, 13


def lower_format(model: Any) -> list[str]:
    """Lower the file format to a version that onnxruntime reads, in place. Returns notes in words."""
    version = model.ir_version
    if version <= _MOST_FORMAT:
        return []
    model.ir_version = _MOST_FORMAT
    return [f"version {version} of the file format lowered to {_MOST_FORMAT}"]


def raise_opset(model: Any) -> tuple[Any, str | None]:
    """Convert a model with an opset before 13 to opset 18. Returns a note in words. Raises ExportFailed if
    onnx cannot convert it."""
    model.ir_version = max(model.ir_version, _LEAST_FORMAT)
    opset = next(item.version for item in model.opset_import if item.domain == "")
    if opset >= _LEAST:
        return model, None
    for item in model.graph.output:
        # The converter trusts the declared shape, which may be wrong.
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
