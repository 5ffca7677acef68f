"""The classification extension of the protocol: the highest values of an output as strings."""

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import ModelFailed


def classify(
    values: NDArray[np.generic], classes: int, labels: tuple[str, ...], *, batches: bool
) -> NDArray[np.generic]:
    """BYTES `value:index[:label]`, highest first, ties by index: [batch, classes], or [classes] if the
    model's first dimension is not a batch. `labels` are used for outputs with as many values.

    Raises ModelFailed on NaN and infinity, which cannot be ranked."""
    rows = values.reshape(len(values) if batches else 1, -1)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelFailed("the model answered NaN or infinity, so its classes cannot be ranked")
    count = rows.shape[1]
    # Sort and read backwards, so that equal values stay in the order of their indices.
    order = count - 1 - np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :classes]
    names = [f":{label}" for label in labels] if len(labels) == count else [""] * count
    pattern = "{:.6f}:{}{}" if values.dtype.kind == "f" else "{}:{}{}"
    strings = np.empty(order.shape, np.object_)
    for row, ranked in enumerate(order.tolist()):
        strings[row] = [pattern.format(rows[row, index], index, names[index]).encode() for index in ranked]
    return strings if batches else strings[0]
