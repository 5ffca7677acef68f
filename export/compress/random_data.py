"""Find random rows that a model without data accepts, by trying it."""

import time
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.artifacts import Trained
from export.compress.random_inputs import DeclaredInput, find_row_axis, have_rows, propose_inputs
from export.data.random.random_form import RandomForm, RandomInput
from export.data.random.random_rows import make_rows
from export.errors import ExportFailed, InvalidData, reason_of
from export.forward import forward, to_tensors
from export.onnx.model_proto import load, open_model
from export.onnx.probe_rows import BATCH
from export.onnx.ranges import find_ranges
from export.repair.input_axes import read_dtype, read_shape
from export.repair.opset import lower_format
from serve.bundles.onnx_graph import Graph

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], Sequence[Any]]
# Enough for an interval; fewer for large or slow models. The calibration split, a fourth of them, needs 19
# (export/quantization/calibration.py).
_MOST_ROWS, _FEWEST_ROWS = 400, 80
_MOST_BYTES = 256 * 2**20
# CPU time of one run of each row; the export runs them dozens of times.
_BUDGET_S = 8.0
_SEED = 0
# A single row may lie in the range of a table by chance.
_TRIED_ROWS, _TRIED_S = 16, 5.0
# Limits of the search for sizes: CPU time, and numbers in one input of a row.
_SEARCH_S, _MOST_NUMBERS = 60.0, 4_000_000


def find_random_rows(trained: Trained) -> RandomForm:
    """Return a form of random rows that the model accepts. Raises ExportFailed if none is found, and
    InvalidData for a model that does not declare its inputs."""
    if trained.tokenizer is not None:
        return RandomForm(inputs={"text": RandomInput(dtype="text")})
    if trained.graph is not None:
        declared = _read_declared(trained.graph)
        return _search(trained.name, declared, _open(trained.name, trained.graph))
    assert trained.build is not None, "a model without a graph is a module"
    module = trained.build()
    if not trained.frozen:
        raise InvalidData(f"{trained.name} does not declare the sizes of its inputs; give rows with --inputs")

    def run(feed: Mapping[str, Array]) -> list[Array]:
        with torch.no_grad():
            return [answer.numpy() for answer in forward(module, to_tensors(feed))]

    return _search(trained.name, _read_recorded(module), run)


def _read_declared(graph: Graph) -> dict[str, DeclaredInput]:
    """Return the inputs of an ONNX graph."""
    model = load(graph)
    weights = {item.name for item in model.graph.initializer}
    items = [item for item in model.graph.input if item.name not in weights]
    shapes = {item.name: read_shape(item) for item in items}
    ranges, rows = find_ranges(graph), have_rows(shapes.values())
    return {
        item.name: DeclaredInput(
            dtype=np.dtype(read_dtype(item)),
            shape=shapes[item.name],
            axis=find_row_axis(shapes[item.name]) if rows and shapes[item.name] else None,
            indices=ranges.get(item.name),
        )
        for item in items
    }


def _read_recorded(module: Any) -> dict[str, DeclaredInput]:
    """Return the inputs of a recorded program, whose first dimension is the rows."""
    tensors = {str(node.target): node.meta["val"] for node in module.graph.nodes if node.op == "placeholder"}
    return {
        name: DeclaredInput(
            dtype=torch.empty(0, dtype=tensor.dtype).numpy().dtype,
            shape=(BATCH, *(size if isinstance(size, int) else str(size) for size in tensor.shape[1:])),
            axis=0,
        )
        for name, tensor in tensors.items()
    }


def _open(name: str, graph: Graph) -> Run:
    model = load(graph)
    lower_format(model)
    try:
        session = open_model(model)
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise ExportFailed(f"onnxruntime refuses {name}: {reason_of(error)}") from error
    return lambda feed: list(session.run(None, dict(feed)))


def _search(name: str, declared: Mapping[str, DeclaredInput], run: Run) -> RandomForm:
    """Return the first form whose row the model answers. Raises ExportFailed."""
    reasons: list[str] = []
    until = time.process_time() + _SEARCH_S
    for inputs in propose_inputs(declared):
        if any(prod(form.shape) > _MOST_NUMBERS for form in inputs.values()):
            continue
        rows = make_rows(inputs, _TRIED_ROWS, _SEED)
        start = time.process_time()
        try:
            answered, all_s = _count_answered(declared, rows, run), time.process_time() - start
        except Exception as error:  # torch and onnxruntime raise dozens of unrelated classes
            reasons.append(reason_of(error))
            if time.process_time() > until:
                break
            continue
        if answered:
            size = sum(array[:1].nbytes for array in rows.values())
            return RandomForm(rows=_count_rows(all_s / answered, size), inputs=inputs)
        reasons.append("an answer is empty or NaN")
    raise ExportFailed(
        f"{name} accepts no random row of those that were tried ({[*reasons, 'too large'][0]}); give rows "
        "with --inputs"
    )


def _count_answered(declared: Mapping[str, DeclaredInput], rows: Mapping[str, Array], run: Run) -> int:
    """Return how many of the rows were run, for a limited time; 0 if an answer is empty or NaN."""
    until = time.process_time() + _TRIED_S
    for row in range(_TRIED_ROWS):
        feed = {key: _lay_out(array[row : row + 1], declared[key]) for key, array in rows.items()}
        if not all(_is_answer(answer) for answer in run(feed)):
            return 0
        if time.process_time() > until:
            return row + 1
    return _TRIED_ROWS


def _lay_out(row: Array, declared: DeclaredInput) -> Array:
    """Arrange one row, [1, ...], as the file declares its input."""
    if declared.axis is None:
        return np.asarray(row[0]).astype(declared.dtype)
    size = declared.shape[declared.axis]
    laid = np.moveaxis(row, 0, declared.axis)
    if isinstance(size, int):
        laid = np.repeat(laid, size, declared.axis)
    return laid.astype(declared.dtype)


def _is_answer(answer: Any) -> bool:
    """Whether an output has values that are numbers."""
    if not isinstance(answer, np.ndarray) or answer.dtype.kind != "f":
        return True
    return answer.size > 0 and bool(np.isfinite(answer).all())


def _count_rows(row_s: float, row_bytes: int) -> int:
    affordable = min(_BUDGET_S / max(row_s, 1e-9), _MOST_BYTES / max(row_bytes, 1))
    return int(min(max(affordable, _FEWEST_ROWS), _MOST_ROWS))
