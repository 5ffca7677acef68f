"""Datasets: the four splits of a recipe's data, validated, fingerprinted and proven disjoint.

A data factory returns {"train" | "calibration" | "search" | "held_out": (inputs, labels)}, where inputs
maps each of the model's inputs to an array of rows and labels holds one class index per row.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData
from export.factories import call_factory
from export.recipe import DataSource
from serve.bundle import DataSplit, sha256
from serve.record import nearest
from serve.tensor import DATATYPES, Arrays

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows that serve one purpose: input name -> rows, and the class of each row."""

    inputs: Arrays
    labels: Labels
    # One hash per row over the inputs alone: equal rows are equal whatever their label.
    row_hashes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Arrays:
        """The inputs of these rows."""
        return {name: array[rows] for name, array in self.inputs.items()}

    @property
    def fingerprint(self) -> DataSplit:
        """Which rows these are, labels included, in whatever order."""
        lines = sorted(f"{row} {label}" for row, label in zip(self.row_hashes, self.labels, strict=True))
        return DataSplit(rows=len(self), sha256=sha256("\n".join(lines).encode()))


@dataclass(frozen=True, kw_only=True)
class Data:
    """All splits of a recipe; no row is in two of them."""

    train: Split
    # Sets the ranges of quantization, and shows that the ONNX graph answers like torch.
    calibration: Split
    # Chooses between epochs, so its figures are never reported.
    search: Split
    # Touched only by the figures.
    held_out: Split

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by their names."""
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = tuple(field.name for field in fields(Data))


def load_data(source: DataSource) -> Data:
    """The splits that the recipe's factory returns. Raises InvalidSource or InvalidData."""
    return read_data(call_factory(source.factory, source.arguments), source.factory)


def read_data(raw: Any, factory: str) -> Data:
    """What a data factory returned, as Data. Raises InvalidData, which names the split and the fault."""
    if not isinstance(raw, Mapping):
        raise InvalidData(f"{factory} returned a {type(raw).__name__}; expected a mapping of {list(_NAMES)}")
    for name in raw:
        if name not in _NAMES:
            raise InvalidData(f"{factory} returned an unknown split {name!r}; {nearest(str(name), _NAMES)}")
    for name in _NAMES:
        if name not in raw:
            raise InvalidData(f"{factory} returned no split {name!r}; it returns {', '.join(_NAMES)}")
    splits = {name: _read_split(f"{factory}: split {name}", raw[name]) for name in _NAMES}
    _refuse_differing_inputs(factory, splits)
    _refuse_overlaps(factory, splits)
    return Data(**splits)


def require_labels_below(data: Data, classes: int) -> None:
    """Raise InvalidData unless every label is one of the model's `classes`."""
    for name, split in data.splits.items():
        wrong = np.flatnonzero(split.labels >= classes)
        if len(wrong):
            raise InvalidData(
                f"split {name}: {len(wrong)} labels are out of range, first {split.labels[wrong[0]]} in row "
                f"{wrong[0]}; the model's first output has {classes} classes: labels are 0 to {classes - 1}"
            )


def _read_split(place: str, raw: Any) -> Split:
    if not (isinstance(raw, tuple) and len(raw) == 2 and isinstance(raw[0], Mapping) and raw[0]):
        raise InvalidData(f"{place} is not a pair (inputs, labels) with inputs by name")
    labels = np.asarray(raw[1])
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidData(
            f"{place}: labels are {labels.dtype} of shape {list(labels.shape)}; "
            "expected one whole number per row, such as labels.astype('int64')"
        )
    if len(labels) == 0:
        raise InvalidData(f"{place} is empty; every split needs rows")
    if labels.min() < 0:
        raise InvalidData(f"{place}: label {labels.min()} in row {labels.argmin()}; labels start at 0")
    inputs = {str(name): _read_input(f"{place}: input {name}", raw[0][name], len(labels)) for name in raw[0]}
    return Split(inputs=inputs, labels=labels.astype(np.int64), row_hashes=_hash_rows(inputs, len(labels)))


def _read_input(place: str, raw: Any, rows: int) -> NDArray[np.generic]:
    array = np.ascontiguousarray(raw).view()
    array.flags.writeable = False
    if array.dtype not in DATATYPES.values():
        raise InvalidData(
            f"{place} is {array.dtype}, which the wire cannot carry; "
            f"convert it to one of {', '.join(str(dtype) for dtype in DATATYPES.values())}"
        )
    if array.ndim == 0 or len(array) != rows or array.size == 0:
        raise InvalidData(f"{place} has the shape {list(np.shape(raw))}; expected {rows} rows, one per label")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InvalidData(f"{place} holds NaN or infinity, first in row {row}; clean or drop such rows")
    return array


def _hash_rows(inputs: Arrays, rows: int) -> tuple[str, ...]:
    head = "".join(f"{name} {inputs[name].dtype} {inputs[name].shape[1:]};" for name in sorted(inputs))
    hashes = []
    for row in range(rows):
        digest = hashlib.sha256(head.encode())
        for name in sorted(inputs):
            digest.update(inputs[name][row].tobytes())
        hashes.append(digest.hexdigest())
    return tuple(hashes)


def _refuse_differing_inputs(factory: str, splits: Mapping[str, Split]) -> None:
    layouts = {
        name: {key: f"{array.dtype} [rows, {', '.join(map(str, array.shape[1:]))}]" for key, array in rows}
        for name, rows in ((name, split.inputs.items()) for name, split in splits.items())
    }
    for name, layout in layouts.items():
        if layout != layouts["train"]:
            raise InvalidData(
                f"{factory}: split {name} has the inputs {layout}, train has {layouts['train']}; "
                "all splits feed the same model and must look alike"
            )


def _refuse_overlaps(factory: str, splits: Mapping[str, Split]) -> None:
    for one, other in combinations(splits, 2):
        first_row = {digest: row for row, digest in reversed(list(enumerate(splits[one].row_hashes)))}
        shared = [
            (first_row[digest], row)
            for row, digest in enumerate(splits[other].row_hashes)
            if digest in first_row
        ]
        if shared:
            examples = ", ".join(f"{one}[{left}] = {other}[{right}]" for left, right in shared[:3])
            raise InvalidData(
                f"{factory}: the splits {one} and {other} share {len(shared)} rows ({examples}"
                f"{', ...' if len(shared) > 3 else ''}): a figure on rows that were seen before proves "
                "nothing; remove them from one of the two"
            )
