"""Reads texts and their labels from JSON lines."""

import codecs
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.files.casting import cast
from export.data.files.file_rows import FileRows
from export.data.files.row_form import RowForm
from export.data.files.selection import find_key, name_inputs, take_single
from export.errors import InvalidData

_TEXT = ("text",)


def read_json_lines(path: Path, form: RowForm) -> FileRows:
    """Read one object per line, whose inputs are strings. Raises InvalidData."""
    origins = {name: take_single(path, name, of) for name, of in name_inputs(form, _TEXT).items()}
    texts: dict[str, list[str]] = {name: [] for name in origins}
    labels: list[Any] = []
    for place, item in _objects(path):
        for name, key in origins.items():
            find_key(place, "key", key, list(item))
            if not isinstance(item[key], str):
                raise InvalidData(
                    f"{place}: {key!r} is {item[key]!r:.60}; expected a text: give numbers as an .npz, "
                    ".parquet or .csv file"
                )
            texts[name].append(item[key])
        if form.labels is not None:
            find_key(place, "key", form.labels, list(item))
            labels.append(_read_label(place, form.labels, item[form.labels]))
    inputs = {
        name: cast(f"{path}: key {origins[name]}", np.array(column, object), form.dtypes.get(name))
        for name, column in texts.items()
    }
    if form.labels is None:
        return FileRows(inputs=inputs, labels=None)
    place = f"{path}: key {form.labels}"
    return FileRows(inputs=inputs, labels=cast(place, _combine(place, labels), form.dtypes.get(form.labels)))


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the place of every line that is not blank, and the object in it."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}:{number}"
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if not content.strip():
                continue
            try:
                item = json.loads(content.decode())
            except UnicodeDecodeError as error:
                raise InvalidData(f"{place} is not UTF-8: {error}; save the file as text in UTF-8") from None
            except ValueError as error:
                raise InvalidData(f"{place} is not JSON: {error}; give one object per line") from None
            if not isinstance(item, dict):
                raise InvalidData(
                    f'{place} is {item!r:.60}; expected one object per line, such as {{"text": "..."}}'
                )
            yield place, item


def _read_label(place: str, key: str, label: Any) -> Any:
    if isinstance(label, str | int | float | list):
        return label
    raise InvalidData(
        f"{place}: {key!r} is {label!r:.60}; expected a number, the name of a class, or a list of numbers; "
        "drop rows without a label"
    )


def _combine(place: str, labels: list[Any]) -> NDArray[Any]:
    """Return texts and lists as objects, and numbers as an array."""
    kinds = {"list" if isinstance(item, list) else "text" if isinstance(item, str) else "" for item in labels}
    if len(kinds) > 1:
        odd = next(row for row, item in enumerate(labels) if type(item) is not type(labels[0]))
        raise InvalidData(
            f"{place} holds {labels[0]!r:.60} in row 0 and {labels[odd]!r:.60} in row {odd}; give all labels "
            "the same type"
        )
    return np.array(labels) if kinds == {""} else np.fromiter(labels, object, len(labels))
