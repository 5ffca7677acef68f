"""Turns labels that are names of classes into class indexes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.files.file_rows import is_text
from export.errors import InvalidData
from serve.base.record import nearest

Labels = Mapping[str, NDArray[Any]]


def index_classes(labels: Labels, known: Sequence[str]) -> tuple[Labels, tuple[str, ...]]:
    """Return labels that are numbers for each place, and the names of the classes that the labels have given.

    The model's `known` names decide the index of a name; without them, the index is the place in alphabetical
    order. Labels that are numbers stay as they are, and name no classes. Raises InvalidData."""
    texts = [place for place, array in labels.items() if is_text(array)]
    if not texts:
        return labels, ()
    if numbers := [place for place in labels if place not in texts]:
        raise InvalidData(
            f"the labels of {texts[0]} are names, such as {labels[texts[0]][0]!r:.60}, and those of "
            f"{numbers[0]} are numbers; give all labels as names, or all as numbers"
        )
    names = tuple(known) or _sort(texts[0], {str(name) for array in labels.values() for name in array})
    positions = {name: position for position, name in enumerate(names)}
    indexes = {}
    for place, array in labels.items():
        for row, name in enumerate(array):
            if name not in positions:
                raise InvalidData(
                    f"{place}: the label {name!r:.60} of row {row} is no class of the model; "
                    f"{nearest(name, names)}"
                )
        indexes[place] = np.array([positions[name] for name in array], np.int64)
    return indexes, () if known else names


def _sort(place: str, names: set[str]) -> tuple[str, ...]:
    ordered = sorted(names)
    if all(name.isdecimal() for name in names) and ordered != sorted(names, key=int):
        raise InvalidData(
            f"{place}: the names of the classes are numbers, whose alphabetical order "
            f"({', '.join(ordered[:3])}, ...) is not that of the numbers; write the names in the order of "
            "the model's scores to a file, and name it in `source.labels`"
        )
    return tuple(ordered)
