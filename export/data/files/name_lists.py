"""Turns labels that are lists of names into 1 or 0 for each name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData
from serve.base.record import nearest

Labels = Mapping[str, NDArray[Any]]


def mark_names(labels: Labels, known: Sequence[str]) -> tuple[Labels, tuple[str, ...]]:
    """Return 1 or 0 for each name, [rows, names], for labels that are a list of names for each row, and the
    names if the labels have given them.

    The order is that of the model's `known` names, or else the alphabetical one. Labels that are numbers stay
    as they are, and give no names. Raises InvalidData."""
    if all(array.dtype.kind not in "OUT" for array in labels.values()):
        return labels, ()
    rows = {place: [_read_row(item) for item in array] for place, array in labels.items()}
    if not any(isinstance(name, str) for sets in rows.values() for row in sets for name in row):
        return labels, ()
    found = {name for sets in rows.values() for row in sets for name in row if isinstance(name, str)}
    names = tuple(known) or tuple(sorted(found))
    marked = {place: _mark(place, sets, names) for place, sets in rows.items()}
    return marked, () if known else names


def _read_row(item: Any) -> list[Any]:
    return list(item) if isinstance(item, list | tuple | np.ndarray) else [item]


def _mark(place: str, sets: Sequence[Sequence[Any]], names: Sequence[str]) -> NDArray[np.int64]:
    positions = {name: position for position, name in enumerate(names)}
    flags = np.zeros((len(sets), len(names)), np.int64)
    for row, held in enumerate(sets):
        for name in held:
            if name not in positions:
                raise InvalidData(
                    f"{place}: the label {name!r:.60} of row {row} is no label of the model; "
                    f"{nearest(str(name), names)}"
                )
            flags[row, positions[name]] = 1
    return flags
