"""Holds the rows of one file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class FileRows:
    """The inputs and labels of some rows, as they are in the file."""

    # [rows, ...] by input name. Text has the type object.
    inputs: Mapping[str, NDArray[Any]]
    # [rows, ...]: numbers, names of classes, or (of the type object) a list for each row. None: unlabelled.
    labels: NDArray[Any] | None
    # Input -> the columns of a table that stand side by side in it, in their order.
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def pair(self) -> tuple[dict[str, NDArray[Any]], NDArray[Any] | None]:
        """The inputs and labels, as a data factory returns them for a split."""
        return dict(self.inputs), self.labels

    def take(self, rows: NDArray[np.int64]) -> tuple[dict[str, NDArray[Any]], NDArray[Any] | None]:
        """Return the inputs and labels of these rows."""
        inputs = {name: array[rows] for name, array in self.inputs.items()}
        return inputs, None if self.labels is None else self.labels[rows]


def is_text(array: NDArray[Any]) -> bool:
    """Whether all elements are strings."""
    if array.dtype.kind == "O":
        return array.size > 0 and all(isinstance(item, str) for item in array.ravel())
    return array.dtype.kind in "UT"
