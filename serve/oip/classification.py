"""Classification: the highest values of an output, as the protocol's extension writes them."""

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import ModelFailed


def classify(
    values: NDArray[np.generic], classes: int, labels: tuple[str, ...], *, batches: bool
) -> NDArray[np.generic]:
    """BYTES `value:index[:label]`, the highest first, ties by index: [batch, classes], or [classes] when the
    model's first dimension is no batch. `labels` name the classes of outputs with as many values.

    Raises ModelFailed on NaN and infinity, which have no rank."""
    rows = values.reshape(len(values) if batches else 1, -1)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelFailed("the model answered NaN or infinity, of which no class is the highest")
    count = rows.shape[1]
    # Sorted backwards and read backwards: only so do equal values stay in the order of their indices.
    order = count - 1 - np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :classes]
    names = [f":{label}" for label in labels] if len(labels) == count else [""] * count
    pattern = "{:.6f}:{}{}" if values.dtype.kind == "f" else "{}:{}{}"
    strings = np.empty(order.shape, np.object_)
    for row, ranked in enumerate(order.tolist()):
        strings[row] = [pattern.format(rows[row, index], index, names[index]).encode() for index in ranked]
    return strings if batches else strings[0]
