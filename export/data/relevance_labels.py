"""Reads labels that are the relevance of items for a query."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData

_KEYS = ("relevance", "groups")


def read_relevance(place: str, raw: Any, rows: int) -> NDArray[np.float64]:
    """Read the relevance of each item of a row, [rows, items], with NaN for items that do not count.

    For a model that scores one item per row, `raw` is a mapping with the `relevance` of each row and the
    number of its query in `groups`, or an array of both, [rows, 2], which is returned. Raises InvalidData."""
    if isinstance(raw, Mapping):
        if set(raw) != set(_KEYS):
            raise InvalidData(
                f"{place}: the labels have the keys {sorted(map(str, raw))}; expected {list(_KEYS)}"
            )
        columns = [np.asarray(raw[key]) for key in _KEYS]
        for key, column in zip(_KEYS, columns, strict=True):
            if column.shape != (rows,):
                raise InvalidData(
                    f"{place}: `{key}` has the shape {list(column.shape)}; expected one number for each of "
                    f"the {rows} rows"
                )
        # Groups may have names.
        raw = np.column_stack([columns[0], np.unique(columns[1], return_inverse=True)[1]])
    labels = np.asarray(raw)
    if labels.dtype.kind not in "fiub" or labels.ndim != 2 or len(labels) != rows:
        raise InvalidData(
            f"{place}: labels are {labels.dtype} of shape {list(labels.shape)}; expected the relevance of "
            f"each item, [{rows}, items], or, for a model with one score per row, a mapping with `relevance` "
            "and `groups`"
        )
    numbers = labels.astype(np.float64)
    wrong = np.argwhere((numbers < 0) | np.isinf(numbers))
    if len(wrong):
        raise InvalidData(
            f"{place}: the relevance {numbers[tuple(wrong[0])]:g} in row {wrong[0][0]} is not a number from "
            "0; give NaN for an item that does not count"
        )
    if not np.nan_to_num(numbers).any():
        raise InvalidData(f"{place}: no item is relevant (above 0); give None for no labels")
    return numbers
