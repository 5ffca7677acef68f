"""Proves that a graph answers like its torch model, for batches and lengths that the export has not seen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.answer_distance import SAME_FLOATS, largest_apart
from export.data.datasets import Split
from export.errors import ExportFailed, reason_of
from export.forward import forward, to_tensors
from export.onnx.last_bits import measure_rounding
from export.onnx.probe_rows import PROBES, distance, probe
from export.onnx.row_parity import RowDifference, compare_rows
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.bundles.figures import Parity
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph

_OTHER_MODEL = "the graph differs from the model; does `forward` depend on randomness, batch size or values?"
_OTHER_VALUES = (
    "onnxruntime chooses otherwise than torch among equal numbers (topk, argmax, sort), and treats NaN "
    "otherwise (pooling, clamp, maximum): let both reach such an operator in `forward`"
)


def prove_parity(model: torch.nn.Module, graph: Graph, rows: Split, signature: Signature) -> Parity:
    """Return how far the graph's answers are from torch's on `rows`: on a few in runs of several sizes
    and lengths, and on all, up to 1,024.

    Raises ExportFailed if an output has another shape than torch's or than `signature` declares, or if the
    answers differ."""
    session = _open(graph)
    largest = 0.0
    for size, share in PROBES:
        inputs = probe(rows, size, share)
        answers = _ask_both(model, session, inputs, signature)
        for index, (spec, (actual, expected)) in enumerate(zip(signature.outputs, answers, strict=True)):
            if not (apart := largest_apart(actual, expected)) <= SAME_FLOATS:
                rounding = measure_rounding(graph, inputs)[index]
                if not largest_apart(actual, expected, rounding=rounding) <= SAME_FLOATS:
                    fault = f"on {size} rows {_tell(spec.name, actual, expected, apart)}"
                    raise ExportFailed(f"{fault}: {_explain(model, _OTHER_MODEL)}")
            largest = max(largest, distance(actual, expected))
    on_rows, difference = compare_rows(
        lambda inputs: _ask_both(model, session, inputs, signature), graph, rows
    )
    if difference is not None:
        fault = _tell_rows(signature.outputs[difference.output].name, difference)
        raise ExportFailed(f"{fault}: {_explain(model, _OTHER_VALUES)}")
    return Parity(batch_sizes=tuple(size for size, _ in PROBES), max_abs_difference=max(largest, on_rows))


def _ask_both(
    model: torch.nn.Module, session: Any, inputs: Arrays, signature: Signature
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return each output of the graph with torch's; where both are NaN, both become 0, since they do not
    differ."""
    size, sizes = len(next(iter(inputs.values()))), _sizes(signature, inputs)
    answers = list(zip(_run(session, inputs, size), ask_torch(model, inputs, size), strict=True))
    for spec, (actual, expected) in zip(signature.outputs, answers, strict=True):
        _require_shape(spec, actual, expected, sizes, size)
    return [_without_common_nan(actual, expected) for actual, expected in answers]


def _without_common_nan(actual: NDArray[Any], expected: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if actual.dtype.kind != "f" or expected.dtype.kind != "f":
        return actual, expected
    both = np.isnan(actual) & np.isnan(expected)
    return np.where(both, 0, actual), np.where(both, 0, expected)


def ask_torch(model: torch.nn.Module, inputs: Arrays, rows: int) -> list[NDArray[Any]]:
    """Return the model's outputs, in order. Raises ExportFailed if it does not run on this number of rows."""
    try:
        with torch.no_grad():
            return [output.numpy() for output in forward(model, to_tensors(inputs))]
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ExportFailed(
            f"the torch model itself does not run on {rows} rows of {_describe(inputs)} "
            f"({' '.join(str(error).split()):.300}), and a server makes batches of any size; does `forward` "
            "take inputs of this type and shape, and both squeeze nor fix its batch or its length?"
        ) from error


def _describe(inputs: Arrays) -> str:
    return ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in inputs.items())


def _open(graph: Graph) -> Any:
    try:
        return open_graph(graph, threads=0)
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise ExportFailed(
            f"onnxruntime does not load the model's graph: {reason_of(error)}; it has its operators in "
            "float32: cast nothing in `forward` to bfloat16, or to other types that it does not need"
        ) from error


def _run(session: Any, inputs: Arrays, rows: int) -> list[NDArray[Any]]:
    try:
        answers: list[NDArray[Any]] = session.run(None, dict(inputs))
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise ExportFailed(
            f"the graph does not run on {rows} rows of {_describe(inputs)}, which the torch model takes: "
            f"{' '.join(str(error).split()):.300}; keep sizes of the example out of `forward`"
        ) from error
    return answers


def _sizes(signature: Signature, inputs: Arrays) -> dict[str, int]:
    """Return the size of each free dimension of the inputs, by name."""
    return {
        dim: size
        for spec in signature.inputs
        for dim, size in zip(spec.shape, inputs[spec.name].shape, strict=True)
        if isinstance(dim, str)
    }


def _require_shape(
    spec: TensorSpec, actual: NDArray[Any], expected: NDArray[Any], sizes: Mapping[str, int], rows: int
) -> None:
    if actual.shape != expected.shape:
        raise ExportFailed(
            f"on {rows} rows the graph's {spec.name} has the shape {list(actual.shape)} and torch's "
            f"{list(expected.shape)}: the graph differs from the model; does `forward` squeeze, or depend on "
            "the batch size or the length?"
        )
    promised = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape]
    kept = len(promised) == actual.ndim and all(
        isinstance(dim, str) or dim == size for dim, size in zip(promised, actual.shape, strict=True)
    )
    if not kept:
        raise ExportFailed(
            f"on {rows} rows the output {spec.name} has the shape {list(actual.shape)}, but the graph "
            f"declares {list(spec.shape)}, here {promised}: a size of the example became fixed, or a "
            "batch of one is dropped; keep such sizes, and `squeeze` without a dimension, out of `forward`"
        )


def _explain(model: torch.nn.Module, otherwise: str) -> str:
    """Return the fix for answers that differ by more than the rounding of float32: `otherwise`, if no weight
    is a half float."""
    for name, value in model.named_parameters():
        if value.dtype == torch.float16:
            return (
                f"{name} is float16, which onnxruntime computes in float32 on a processor, and torch rounds; "
                "build the module in float32 (`.float()`, and no `.half()` in `forward`)"
            )
    return otherwise


def _tell_rows(name: str, difference: RowDifference) -> str:
    rows = ", ".join(map(str, difference.rows))
    share = difference.share
    size = f"by up to {share:.2g} of a value" if share < np.inf else "(NaN or infinity in one, or integers)"
    return f"the graph's {name} differs from torch's {size} on calibration rows, first on {rows} (from 0)"


def _tell(name: str, actual: NDArray[Any], expected: NDArray[Any], share: float) -> str:
    return (
        f"the graph's {name} {list(actual.shape)} is up to {share:.2g} of a value away from torch's "
        f"{list(expected.shape)}, whose largest value is {np.abs(expected).max():.2g}"
    )
