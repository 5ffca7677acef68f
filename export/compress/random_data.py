"""Find random rows that a model without data accepts, by trying it."""

import time
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.artifacts import Trained
from export.compress.random_inputs import DeclaredInput, find_row_axis, propose_inputs
from export.data.random.random_form import FEWEST_ROWS, RandomForm, RandomInput
from export.data.random.random_rows import make_rows
from export.errors import ExportFailed, InvalidData, reason_of
from export.onnx.ranges import find_ranges
from export.repair.input_axes import Shape, read_dtype, read_shape
from export.repair.opset import lower_format
from serve.bundles.graph_session import open_graph

# Enough for an interval; fewer for large or slow models.
_MOST_ROWS = 400
_MOST_BYTES = 256 * 2**20
_BUDGET_S = 20.0
_SEED = 0


def find_random_rows(trained: Trained) -> RandomForm:
    """Return a form of random rows that the model accepts. Raises ExportFailed if none is found, and
    InvalidData for a model that does not declare its inputs."""
    if trained.tokenizer is not None:
        return RandomForm(inputs={"text": RandomInput(dtype="text")})
    if trained.graph is None:
        raise InvalidData(f"{trained.name} does not declare the sizes of its inputs; give rows with --inputs")
    return _try_graph(trained.name, trained.graph)


def _try_graph(name: str, graph: bytes) -> RandomForm:
    model = onnx.load_from_string(graph)
    lower_format(model)
    weights = {item.name for item in model.graph.initializer}
    items = [item for item in model.graph.input if item.name not in weights]
    shapes = {item.name: read_shape(item) for item in items}
    ranges = find_ranges(graph)
    declared = {
        item.name: DeclaredInput(
            dtype=np.dtype(read_dtype(item)), shape=shapes[item.name], indices=ranges.get(item.name)
        )
        for item in items
    }
    try:
        session = open_graph(model.SerializeToString())
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise ExportFailed(f"onnxruntime refuses {name}: {reason_of(error)}") from error
    reason = "every answer was empty or NaN"
    for inputs in propose_inputs(declared):
        feed = {
            key: _lay_out(array, shapes[key], declared[key].dtype)
            for key, array in make_rows(inputs, 1, _SEED).items()
        }
        start = time.process_time()
        try:
            answers = session.run(None, feed)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            reason = reason_of(error)
            continue
        if all(_is_answer(answer) for answer in answers):
            size = sum(array.nbytes for array in feed.values())
            return RandomForm(rows=_count_rows(time.process_time() - start, size), inputs=inputs)
    raise ExportFailed(
        f"{name} accepts no random row of those that were tried ({reason}); give rows with --inputs"
    )


def _lay_out(row: NDArray[Any], shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Arrange one row, [1, ...], as the file declares its input."""
    if not shape:
        return row.reshape(()).astype(dtype)
    axis = find_row_axis(shape)
    size = shape[axis]
    laid = np.moveaxis(row, 0, axis)
    return np.repeat(laid, size, axis).astype(dtype) if isinstance(size, int) else laid.astype(dtype)


def _is_answer(answer: Any) -> bool:
    """Whether an output has values that are numbers."""
    if not isinstance(answer, np.ndarray) or answer.dtype.kind != "f":
        return True
    return answer.size > 0 and bool(np.isfinite(answer).all())


def _count_rows(row_s: float, row_bytes: int) -> int:
    affordable = min(_BUDGET_S / max(row_s, 1e-9), _MOST_BYTES / max(row_bytes, 1))
    return int(min(max(affordable, 2 * FEWEST_ROWS), _MOST_ROWS))
