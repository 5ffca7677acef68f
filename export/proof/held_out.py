"""Runs a loaded variant on the held-out rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.inputs import TOKENS
from export.data.missing_values import blame_missing
from export.errors import ExportFailed
from export.repair.output_dimensions import refuse_empty
from export.training.batches import Rows, ordered_batches
from serve.base.tensor import TensorSpec
from serve.engine.session import Session

# Every output by its name, [rows, ...].
Answers = Mapping[str, NDArray[Any]]


def answers(session: Session, split: Split) -> Answers:
    """Return every output for every row, [rows, ...]; padding tokens are NaN, or 0 if the output does not
    hold floats.

    Raises ExportFailed if an answer is NaN, or an output has no value in any row; only outputs after the
    first may be infinite."""
    batches: dict[str, list[tuple[Rows, NDArray[Any]]]] = {
        name: [] for name in session.signature.output_names
    }
    for rows in ordered_batches(split):
        outputs = session.run(split.take(rows))
        for number, spec in enumerate(session.signature.outputs):
            output = _comparable(outputs[spec.name])
            padding = _find_padding(spec, output, rows, split)
            lost = _find_lost(
                np.where(padding, np.zeros((), output.dtype), output), may_be_infinite=number > 0
            )
            if lost.any():
                raise ExportFailed(
                    f"{session.name} gives NaN or infinity in {spec.name} for {_explain(split, rows[lost])}"
                )
            nothing = np.nan if output.dtype.kind == "f" else np.zeros((), output.dtype)
            batches[spec.name].append((rows, np.where(padding, nothing, output).astype(output.dtype)))
    assembled = {name: _assemble(parts, len(split)) for name, parts in batches.items()}
    for name, output in assembled.items():
        if not output.size:
            refuse_empty(name, output.shape)
    return assembled


def _comparable(output: NDArray[Any]) -> NDArray[Any]:
    """Return floats in 32 bits, and strings as bytes of one width."""
    if output.dtype.kind == "f":
        return output.astype(np.float32)
    return output.astype("S") if output.dtype.kind == "O" else output


def _find_padding(spec: TensorSpec, output: NDArray[Any], rows: Rows, split: Split) -> NDArray[np.bool_]:
    """Return a mask of the output's values for padding tokens, in a shape that broadcasts to the output's."""
    padding: NDArray[np.bool_] = np.zeros((1,) * output.ndim, np.bool_)
    for axis, dim in enumerate(spec.shape):
        if axis and dim == TOKENS and split.lengths is not None:
            absent = np.arange(output.shape[axis]) >= split.lengths[rows][:, None]
            shape = [size if place in (0, axis) else 1 for place, size in enumerate(output.shape)]
            padding = padding | absent.reshape(shape)
    return padding


def _find_lost(output: NDArray[Any], *, may_be_infinite: bool) -> NDArray[np.bool_]:
    """Return which rows hold a value that is no number."""
    if output.dtype.kind != "f":
        return np.zeros(len(output), np.bool_)
    lost = np.isnan(output) if may_be_infinite else ~np.isfinite(output)
    return np.asarray(lost.reshape(len(output), -1).any(axis=1))


def _explain(split: Split, rows: Rows) -> str:
    rows = np.sort(rows)
    named = f"the held-out rows {', '.join(map(str, rows[:5]))}"
    missing = blame_missing(split.take(rows), rows, "held-out")
    return f"{named}: " + (
        missing
        or "the model overflows on them; look for extreme values in their inputs, leave its largest layers "
        "in float, or train with a lower learning rate"
    )


def _assemble(parts: list[tuple[Rows, NDArray[Any]]], count: int) -> NDArray[Any]:
    longest = np.max([part.shape[1:] for _, part in parts], axis=0).astype(int)
    dtype = np.result_type(*(part.dtype for _, part in parts))
    assembled = np.zeros((count, *longest), dtype)
    if dtype.kind == "f":
        assembled[:] = np.nan
    for rows, part in parts:
        place: tuple[Any, ...] = (rows, *(slice(size) for size in part.shape[1:]))
        assembled[place] = part
    return assembled
