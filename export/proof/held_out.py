"""Held out: what a loaded variant answers on the rows that nobody learned from."""

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.errors import ExportFailed
from export.training.batches import Rows, ordered_batches
from serve.session import Session

Answers = NDArray[np.float32]


def answers(session: Session, split: Split) -> Answers:
    """The first output for every row, [rows, ...]; tokens that a row does not have are NaN.

    Raises ExportFailed when an answer is not a number."""
    output = session.signature.output_names[0]
    found = []
    for rows in ordered_batches(split):
        came = session.run(split.take(rows))[output].astype(np.float32)
        real = _real_tokens(came, rows, split)
        if not np.isfinite(came[real]).all():
            raise ExportFailed(
                f"{session.name} answers with NaN or infinity, among the held-out rows "
                f"{', '.join(map(str, np.sort(rows)[:5]))}: the model overflows on real input; "
                "leave its largest layers in float, or train with a lower learning rate"
            )
        came[~real] = np.nan
        found.append((rows, came))
    return _assemble(found, len(split))


def _real_tokens(came: Answers, rows: Rows, split: Split) -> NDArray[np.bool_]:
    """Which answers count, [rows] or [rows, tokens]: padding has answers, too."""
    if came.ndim < 3 or split.lengths is None:
        return np.ones(came.shape[: max(1, came.ndim - 1)], bool)
    real: NDArray[np.bool_] = np.arange(came.shape[1]) < split.lengths[rows][:, None]
    return real


def _assemble(found: list[tuple[Rows, Answers]], count: int) -> Answers:
    longest = np.max([came.shape[1:] for _, came in found], axis=0).astype(int)
    assembled = np.empty((count, *longest), np.float32)
    for rows, came in found:
        padding = [(0, 0), *((0, most - size) for most, size in zip(longest, came.shape[1:], strict=True))]
        assembled[rows] = np.pad(came, padding, constant_values=np.nan)
    return assembled
