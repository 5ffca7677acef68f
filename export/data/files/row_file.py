"""Reads the rows of a file of any kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from export.data.files.file_rows import FileRows
from export.data.files.row_form import RowForm
from export.errors import InvalidData
from serve.base.record import nearest

SUFFIXES = (".npz", ".npy", ".parquet", ".csv", ".jsonl")


def read_rows(path: Path, form: RowForm) -> FileRows:
    """Read the rows of the file, or of the folder of images, at `path`.

    Raises InvalidData, which names the file, the place and the value in it."""
    try:
        rows = _read(path, form)
    except OSError as error:
        raise InvalidData(f"{error.filename or path}: {error.strerror or error}; correct the path") from None
    if not rows.inputs:
        raise InvalidData(
            f"{path} holds the labels {form.labels!r} and no inputs; add the inputs of the model"
        )
    known = [*rows.inputs, *([form.labels] if form.labels else [])]
    for name in form.dtypes:
        if name not in known:
            raise InvalidData(
                f"{path}: `dtypes` names {name!r}, which is neither an input nor the labels; "
                f"{nearest(name, known)}"
            )
    _refuse_lost_labels(path, rows)
    if rows.labels is not None and rows.labels.dtype.kind == "b":
        return replace(rows, labels=rows.labels.astype(np.int64))
    return rows


def _read(path: Path, form: RowForm) -> FileRows:
    """Read the file by its suffix. A reader is imported only for its own kind of file."""
    path.stat()  # a missing file is an OSError, whatever its extension
    if path.is_dir():
        from export.data.files.image_folder import read_images

        return read_images(path, form)
    if form.images is not None:
        raise InvalidData(f"{path} is no folder, and `images` says how to read a folder of images; remove it")
    match path.suffix.lower():
        case ".npz":
            from export.data.files.numpy_file import read_npz

            return read_npz(path, form)
        case ".npy":
            from export.data.files.numpy_file import read_npy

            return read_npy(path, form)
        case ".parquet" | ".csv":
            from export.data.files.table_file import read_table

            return read_table(path, form)
        case ".jsonl":
            from export.data.files.json_lines import read_json_lines

            return read_json_lines(path, form)
    raise InvalidData(
        f"{path} has the extension {path.suffix!r}; known: {', '.join(SUFFIXES)}, and folders of images"
    )


def _refuse_lost_labels(path: Path, rows: FileRows) -> None:
    labels = rows.labels
    if labels is None or labels.ndim != 1:
        return
    lost = (
        np.isnan(labels) if labels.dtype.kind == "f" else labels == "" if labels.dtype.kind in "OUT" else []
    )
    if len(found := np.flatnonzero(lost)):
        raise InvalidData(f"{path}: the label of row {found[0]} is missing; label every row, or drop it")
