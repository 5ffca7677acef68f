"""Puts the columns of several tables in one order."""

from collections.abc import Mapping
from dataclasses import replace

from export.data.files.file_rows import FileRows
from export.errors import InvalidData

_MOST_NAMED = 8


def align_columns(places: Mapping[str, str], rows: Mapping[str, FileRows]) -> dict[str, FileRows]:
    """Return the rows of each split, where columns that stand side by side in an input have the order of the
    first table: a pattern finds them in the order of each file.

    `places` are the files of the splits. Raises InvalidData if a table has other columns than the first."""
    first: dict[str, tuple[str, tuple[str, ...]]] = {}
    for split, item in rows.items():
        for name, columns in item.columns.items():
            first.setdefault(name, (places[split], columns))
    return {split: _align(places[split], item, first) for split, item in rows.items()}


def _align(place: str, item: FileRows, first: Mapping[str, tuple[str, tuple[str, ...]]]) -> FileRows:
    inputs = dict(item.inputs)
    for name, found in item.columns.items():
        first_place, expected = first[name]
        if sorted(found) != sorted(expected):
            raise InvalidData(
                f"{place}: the input {name!r} consists of the columns {_list(found)}, and in "
                f"{first_place} of {_list(expected)}; give all files the same "
                "columns, or name the columns in `inputs`"
            )
        if found != expected:
            inputs[name] = inputs[name][:, [found.index(column) for column in expected]]
    return replace(item, inputs=inputs)


def _list(columns: tuple[str, ...]) -> str:
    return ", ".join(columns[:_MOST_NAMED]) + (", ..." if len(columns) > _MOST_NAMED else "")
