"""Reads .npz and .npy files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.files.casting import cast
from export.data.files.file_rows import FileRows, is_text
from export.data.files.row_form import RowForm
from export.data.files.selection import find_key, name_inputs, take_single
from export.errors import InvalidData, reason_of


def read_npz(path: Path, form: RowForm) -> FileRows:
    """Read the arrays of an .npz file. Raises InvalidData."""
    with _loaded(path, "numpy.savez(path, image=images, label=labels)") as archive:
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InvalidData(f"{path} holds a single array without a name; rename the file to .npy")
        origins = {name: take_single(path, name, of) for name, of in name_inputs(form, archive.files).items()}
        inputs = {
            name: cast(f"{path}: array {key}", _extract(path, archive, key), form.dtypes.get(name))
            for name, key in origins.items()
        }
        if form.labels is None:
            return FileRows(inputs=inputs, labels=None)
        labels = _extract(path, archive, form.labels)
    place = f"{path}: array {form.labels}"
    return FileRows(inputs=inputs, labels=cast(place, labels, form.dtypes.get(form.labels)))


def read_npy(path: Path, form: RowForm) -> FileRows:
    """Read the single input in an .npy file. Raises InvalidData."""
    if form.labels is not None:
        raise InvalidData(
            f"{path} is an .npy file, which holds one input and no labels {form.labels!r}; write an .npz "
            "file with both: numpy.savez(path, image=images, label=labels)"
        )
    names = form.inputs if isinstance(form.inputs, tuple) else ()
    if len(names) != 1:
        raise InvalidData(f"{path} holds one array without a name; name the input: `inputs: [image]`")
    with _loaded(path, "numpy.save(path, images)") as array:
        if not isinstance(array, np.ndarray):
            raise InvalidData(f"{path} holds several arrays; rename the file to .npz")
    return FileRows(inputs={names[0]: cast(str(path), array, form.dtypes.get(names[0]))}, labels=None)


@contextmanager
def _loaded(path: Path, fix: str) -> Iterator[Any]:
    # numpy leaves a broken file open, so it is opened here.
    with path.open("rb") as file:
        try:
            content = np.load(file, allow_pickle=False)
        except Exception as error:  # broken content makes numpy, zipfile and zlib raise their own classes
            raise InvalidData(
                f"{path} holds no plain arrays of numpy ({reason_of(error)}); write it with {fix}"
            ) from None
        if isinstance(content, np.ndarray):
            yield content
        else:
            with content:
                yield content


def _extract(path: Path, archive: Any, key: str) -> NDArray[Any]:
    find_key(str(path), "array", key, archive.files)
    try:
        array: NDArray[Any] = archive[key]
    except Exception as error:  # as above
        raise InvalidData(
            f"{path}: the array {key!r} cannot be read ({reason_of(error)}); give all its rows the same "
            "shape and type, and write the file again"
        ) from None
    return array.astype(object) if is_text(array) else array
