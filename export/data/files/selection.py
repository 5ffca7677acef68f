"""Finds the arrays, columns and keys of a file that a recipe names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from export.data.files.row_form import Origin, RowForm
from export.errors import InvalidData
from serve.base.record import nearest


def name_inputs(form: RowForm, names: Sequence[str]) -> dict[str, Origin]:
    """Return where each input comes from: name for the model -> name or names in the file, of `names`."""
    if isinstance(form.inputs, Mapping):
        return dict(form.inputs)
    chosen = [name for name in names if name != form.labels] if form.inputs is None else form.inputs
    return {name: name for name in chosen}


def find_key(place: str, what: str, key: str, names: Sequence[str]) -> None:
    """Raise InvalidData, which suggests the nearest name, unless the file has `key`. `what` says what the
    names are: "array", "column" or "key"."""
    if key not in names:
        raise InvalidData(f"{place} has no {what} {key!r}; {nearest(key, names)}")


def take_single(path: Path, name: str, origin: Origin) -> str:
    """Return the one name of an input's origin. Raises InvalidData if there are several."""
    if isinstance(origin, str):
        return origin
    raise InvalidData(
        f"{path}: the input {name!r} comes from a list, {list(origin)}; only columns of .parquet and .csv "
        f"files are combined: write `{name}: {origin[0]}`"
    )
