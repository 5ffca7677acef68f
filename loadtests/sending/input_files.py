"""Reads the arrays of an input file: the same forms that a recipe's data section reads, and lines of text."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.sending.body import Arrays
from loadtests.sending.model_metadata import ModelMetadata
from serve.base.record import nearest

# Input -> the arrays, columns or keys of the file that it comes from; several are put side by side.
Columns = Mapping[str, tuple[str, ...]]
FORMS = ".npz, .npy, .parquet, .csv, .jsonl or .txt"


def read_inputs(path: Path, metadata: ModelMetadata, columns: Columns) -> Arrays:
    """Return the array of each input, [rows, ...]. An input that `columns` does not name comes from what has
    its name; other arrays, such as labels, are left out. Raises LoadTestError."""
    match path.suffix.lower():
        case ".txt":
            return _read_texts(path, metadata)
        case ".npy":
            return _read_single(path, metadata)
        case ".npz":
            stored = _read_arrays(path)
        case ".csv" | ".parquet":
            stored = _read_table(path)
        case ".jsonl":
            stored = _read_lines(path)
        case _:
            raise LoadTestError(f"{path} has an unknown ending; give a file of the form {FORMS}")
    return {
        spec.name: _join(path, stored, columns.get(spec.name, (spec.name,)), spec.name in columns)
        for spec in metadata.inputs
    }


def _join(path: Path, stored: Arrays, names: Sequence[str], chosen: bool) -> NDArray[Any]:
    """Return one array, or the columns of several side by side; patterns stand for all that match."""
    found = dict.fromkeys(name for pattern in names for name in _find(path, stored, pattern))
    arrays = [stored[name] for name in found]
    if len(arrays) == 1 and not (chosen and "*" in names[0]):
        return arrays[0]
    if wide := [name for name in found if stored[name].ndim != 1]:
        raise LoadTestError(f"{path}: {wide[0]!r} has several numbers in a row; name it alone in --columns")
    return np.stack(arrays, axis=1)


def _find(path: Path, stored: Arrays, pattern: str) -> list[str]:
    if pattern in stored:
        return [pattern]
    found = [name for name in stored if "*" in pattern and fnmatchcase(name, pattern)]
    if not found:
        raise LoadTestError(
            f"{path} does not contain {pattern!r}; {nearest(pattern, stored)}; name what an input comes from "
            f"with --columns INPUT=NAME"
        )
    return found


def _read_texts(path: Path, metadata: ModelMetadata) -> Arrays:
    """Read one text per line."""
    if [spec.datatype for spec in metadata.inputs] != ["BYTES"]:
        inputs = ", ".join(f"{spec.name} of {spec.datatype}" for spec in metadata.inputs)
        raise LoadTestError(
            f"{path} holds texts, but {metadata.name} takes {inputs}, expected one input of BYTES; "
            "give --inputs an .npz file with one array for every input"
        )
    (spec,) = metadata.inputs
    lines = _decode(path, _read_bytes(path)).removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise LoadTestError(f"{path}: line {number} is empty, expected a text on every line; remove it")
    # Each row has one text, whatever the rank; a model that takes several texts per row is refused by its
    # shape.
    return {spec.name: np.array(lines).reshape(-1, *[1] * (len(spec.shape) - 1))}


def _read_single(path: Path, metadata: ModelMetadata) -> Arrays:
    """Read the array of a model with one input."""
    if len(metadata.inputs) != 1:
        names = ", ".join(spec.name for spec in metadata.inputs)
        raise LoadTestError(
            f"{path} holds one array without a name, but {metadata.name} takes {names}; give --inputs an "
            ".npz file with one array for every input"
        )
    loaded = _load(path, "an .npy file of one plain array")
    if not isinstance(loaded, np.ndarray):
        raise LoadTestError(f"{path} is no .npy file, but a file of several arrays; call it .npz")
    return {metadata.inputs[0].name: loaded}


def _read_arrays(path: Path) -> Arrays:
    loaded: Any = _load(path, "an .npz file of plain arrays")
    if isinstance(loaded, np.ndarray):
        raise LoadTestError(f"{path} is not an .npz file of plain arrays: it holds one array; call it .npy")
    return dict(loaded)


def _load(path: Path, form: str) -> Any:
    """Return one array, or arrays by name."""
    try:
        # The file is opened here, because numpy leaves a broken file open.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LoadTestError(f"{path} is not {form}: {error}") from None


def _read_table(path: Path) -> Arrays:
    """Read all columns of a Parquet or CSV file."""
    # These imports take half a second, and no other form needs them.
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    try:
        table = (
            pq.read_table(path, use_threads=False)
            if path.suffix.lower() == ".parquet"
            else pa_csv.read_csv(path, parse_options=pa_csv.ParseOptions(newlines_in_values=True))
        )
        return {name: _to_array(table.column(name).to_pylist()) for name in table.schema.names}
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise LoadTestError(f"{path} is no table: {error}") from None


def _read_lines(path: Path) -> Arrays:
    """Read one JSON object per line; each key is an array."""
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(_decode(path, _read_bytes(path)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise LoadTestError(f"{path}:{number} is not JSON: {error}; give one object per line") from None
        if not isinstance(item, dict):
            raise LoadTestError(f"{path}:{number} is {item!r:.60}; give one object per line")
        rows.append(item)
    names = [name for name in (rows[0] if rows else {}) if all(name in row for row in rows)]
    return {name: _to_array([row[name] for row in rows]) for name in names}


def _to_array(values: list[Any]) -> NDArray[Any]:
    """Return an array of numbers or texts; what is neither, such as lists of several lengths, has the type
    object, which no input takes."""
    try:
        return np.array(values)
    except ValueError:
        return np.fromiter(values, object, len(values))


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadTestError(f"{path} cannot be read: {error}") from None


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise LoadTestError(f"{path} is not a UTF-8 text file: {error}") from None
