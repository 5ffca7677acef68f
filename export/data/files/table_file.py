"""Reads the columns of Parquet and CSV files."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from export.data.files.arrow_column import read_column
from export.data.files.casting import cast
from export.data.files.file_rows import FileRows, is_text
from export.data.files.row_form import Dtype, Origin, RowForm
from export.data.files.selection import find_key, name_inputs
from export.errors import InvalidData, reason_of
from serve.base.record import nearest


def read_table(path: Path, form: RowForm) -> FileRows:
    """Read the columns of a Parquet or CSV file that become inputs and labels.

    One column is an input of shape [rows]; a list of columns is an input of shape [rows, columns]. Raises
    InvalidData."""
    try:
        table, origins = (
            _read_parquet(path, form) if path.suffix.lower() == ".parquet" else _read_csv(path, form)
        )
        inputs = {
            name: _read_input(path, table, name, of, form.dtypes.get(name)) for name, of in origins.items()
        }
        labels = None if form.labels is None else _read_labels(path, table, form.labels, form.dtypes)
    except (pa.ArrowException, ValueError) as error:
        raise InvalidData(
            f"{path} is no table: {reason_of(error)}; write it as a Parquet file, or as CSV in UTF-8 with a "
            "line of column names"
        ) from None
    columns = {name: of for name, of in origins.items() if not isinstance(of, str)}
    return FileRows(inputs=inputs, labels=labels, columns=columns)


def _read_parquet(path: Path, form: RowForm) -> tuple[Any, dict[str, Origin]]:
    """Return the columns that are needed, and those of each input."""
    with pq.ParquetFile(path) as file:
        origins = _find_columns(path, file.schema_arrow.names, form)
        needed = {column for of in origins.values() for column in ([of] if isinstance(of, str) else of)}
        columns = sorted(needed if form.labels is None else needed | {form.labels})
        return file.read(columns, use_threads=False), origins


def _read_csv(path: Path, form: RowForm) -> tuple[Any, dict[str, Origin]]:
    """Return all columns, and those of each input."""
    table = pa_csv.read_csv(
        path,
        # The messages of a single thread have the number of the row.
        read_options=pa_csv.ReadOptions(use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
    )
    return table, _find_columns(path, table.schema.names, form)


def _find_columns(path: Path, names: Sequence[str], form: RowForm) -> dict[str, Origin]:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidData(f"{path} has several columns named {repeated[0]!r}; give each its own name")
    if form.labels is not None:
        find_key(str(path), "column", form.labels, names)
    return {name: _expand(path, of, names, form) for name, of in name_inputs(form, names).items()}


def _expand(path: Path, origin: Origin, names: Sequence[str], form: RowForm) -> Origin:
    """Replace patterns in a list of columns by the columns that match, in the order of the file."""
    if isinstance(origin, str):
        find_key(str(path), "column", origin, names)
        return origin
    columns: list[str] = []
    for pattern in origin:
        if pattern in names:
            columns.append(pattern)
            continue
        found = [
            name for name in names if "*" in pattern and fnmatchcase(name, pattern) and name != form.labels
        ]
        columns += [name for name in found if name not in columns]
        if not found:
            raise InvalidData(f"{path} has no column {pattern!r}; {nearest(pattern, names)}")
    return tuple(columns)


def _read_input(path: Path, table: Any, name: str, origin: Origin, dtype: Dtype | None) -> NDArray[Any]:
    columns = (origin,) if isinstance(origin, str) else origin
    places = [f"{path}: column {column}" for column in columns]
    arrays = [read_column(place, table.column(column)) for place, column in zip(places, columns, strict=True)]
    dtype = dtype or _choose_dtype(arrays)
    arrays = [cast(place, array, dtype) for place, array in zip(places, arrays, strict=True)]
    if isinstance(origin, str):
        return arrays[0]
    for place, array in zip(places, arrays, strict=True):
        if array.ndim > 1:
            raise InvalidData(f"{place} holds lists; write `{name}: {columns[0]}` for a column of them")
        if is_text(array) != is_text(arrays[0]):
            raise InvalidData(
                f"{place} holds {array[0]!r:.60} in row 0, and {columns[0]} holds {arrays[0][0]!r:.60}; "
                f"the columns of {name!r} must be all text or all numbers: correct them, or give `dtypes`"
            )
    return np.stack(arrays, axis=1)


def _read_labels(path: Path, table: Any, column: str, dtypes: Mapping[str, Dtype]) -> NDArray[Any]:
    place = f"{path}: column {column}"
    return cast(place, read_column(place, table.column(column), of_labels=True), dtypes.get(column))


def _choose_dtype(columns: Sequence[NDArray[Any]]) -> Dtype | None:
    """Return float32 if there are fractions: CSV files have no types, and nearly all models take float32."""
    numbers = [column.dtype.kind for column in columns]
    return "float32" if "f" in numbers and set(numbers) <= set("biuf") else None
