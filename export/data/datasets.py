"""Validates and fingerprints the splits of a recipe's data, and proves that they are disjoint.

A data factory returns {"train" | "calibration" | "search" | "held_out": (inputs, labels)}; only train may
be missing. `inputs` maps each of the model's inputs to an array of rows (a list of arrays if they have
several shapes), or is {"text": [str, ...]} if the model has a tokenizer. `labels` is one class index per
row; for token_classification it is one per token, -100 for tokens that do not count (for text, a list for
each row, special tokens included). For other tasks it is an array: for regression of the output's shape,
NaN for numbers that do not count; for segmentation of classes, -100 for places that do not count; for
binary and multilabel of 1 and 0; for detection [rows, boxes, 5] of corners and classes (box_labels.py); for
ranking of the relevance of each item (relevance_labels.py). None means unlabelled."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.inputs import TOKENS, Lengths, hash_rows, name_dims, read_inputs
from export.data.labels import Labels, read_labels
from export.data.overlaps import refuse_overlaps
from export.data.several_sizes import FreeAxes, Sizes, cut_rows, find_free_axes, number_shapes
from export.data.tokenizer import Tokenizer
from export.errors import InvalidData
from serve.base.record import nearest
from serve.base.tensor import Arrays
from serve.bundles.bundle import DataSplit, sha256
from serve.bundles.meaning import Task

__all__ = ["Data", "Labels", "Split", "read_data", "read_split"]

_NAMES = ("train", "calibration", "search", "held_out")
# A single distinct row cannot set a range, rank epochs, or give an interval.
_FEWEST_ROWS = 2


@dataclass(frozen=True, kw_only=True)
class Split:
    """The rows of one split: arrays by input name, and the metadata of each row."""

    inputs: Arrays
    # [rows], or [rows, tokens] with -100 for tokens that do not count; None: unlabelled.
    labels: Labels | None
    # Number of tokens of each row without padding; None: it has no padded text.
    lengths: Lengths | None
    # One hash per row over the inputs without padding; labels do not count.
    row_hashes: tuple[str, ...]
    # The sizes of each row of inputs whose rows have several shapes, and the dimensions that are free for
    # that, in this split or in another.
    sizes: Sizes = field(default_factory=dict)
    free_axes: FreeAxes = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row_hashes)

    def take(self, rows: NDArray[np.int64]) -> Arrays:
        """Return the inputs of these rows: texts padded to the longest of them, and rows of several shapes
        cut to what they have in common."""
        if self.lengths is None:
            return cut_rows({name: array[rows] for name, array in self.inputs.items()}, self.sizes, rows)
        longest = int(self.lengths[rows].max())
        padded = {
            name: np.ascontiguousarray(array[rows, :longest] if TOKENS in self.dims[name] else array[rows])
            for name, array in self.inputs.items()
        }
        return cut_rows(padded, self.sizes, rows)

    def take_like(self, count: int) -> Arrays:
        """Return this number of rows of the commonest shape, from the first on; if there are fewer, they are
        repeated."""
        return self.take(np.resize(self._commonest, count))

    @cached_property
    def shapes(self) -> NDArray[np.int64]:
        """A number for the shape of each row: rows of the same number may run together."""
        return number_shapes(self.sizes, len(self))

    @cached_property
    def _commonest(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.shapes == np.bincount(self.shapes).argmax())

    def first(self, rows: int) -> "Split":
        """Return the first rows, or the split itself if it has no more."""
        if rows >= len(self):
            return self
        return replace(
            self,
            inputs={name: array[:rows] for name, array in self.inputs.items()},
            labels=None if self.labels is None else self.labels[:rows],
            lengths=None if self.lengths is None else self.lengths[:rows],
            row_hashes=self.row_hashes[:rows],
            sizes={name: sizes[:rows] for name, sizes in self.sizes.items()},
        )

    @property
    def dims(self) -> dict[str, tuple[str | int, ...]]:
        """Return the dimension names of each input: "batch" first, "tokens" for the padded one, a name of the
        input and the dimension for others that are free, otherwise the number."""
        named = name_dims(self.inputs, self.lengths)
        return {
            name: tuple(
                f"{name}_{axis}" if axis in self.free_axes.get(name, ()) else dim
                for axis, dim in enumerate(dims)
            )
            for name, dims in named.items()
        }

    @property
    def counted_backwards(self) -> set[str]:
        """Return the inputs of whole numbers that have negative ones in these rows."""
        return {name for name, array in self.inputs.items() if array.dtype.kind == "i" and np.any(array < 0)}  # type: ignore[operator] # numbers

    @property
    def fingerprint(self) -> DataSplit:
        """Return a digest of the rows and labels that does not depend on their order."""
        lines = sorted(f"{digest} {self._label(row)}" for row, digest in enumerate(self.row_hashes))
        return DataSplit(rows=len(self), sha256=sha256("\n".join(lines).encode()))

    def _label(self, row: int) -> str:
        if self.labels is None:
            return "-"
        label = self.labels[row]
        if label.ndim and self.lengths is not None:
            label = label[: self.lengths[row]]
        return str(label.tolist())


@dataclass(frozen=True, kw_only=True)
class Data:
    """All splits of a recipe; no row is in two of them."""

    # None: nothing can be trained.
    train: Split | None
    # Sets the ranges of quantization, and shows that the ONNX graph answers like torch.
    calibration: Split
    # Chooses between epochs and layers, so no figure of a bundle comes from it; a quantize step's note tells
    # by how much it is off there.
    search: Split
    # Touched only by the figures.
    held_out: Split

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, by their names."""
        return {name: getattr(self, name) for name in _NAMES if getattr(self, name) is not None}

    @property
    def labelled(self) -> bool:
        """Whether rows of any split have labels."""
        return any(split.labels is not None for split in self.splits.values())

    def without_labels(self) -> "Data":
        """Return the same rows without labels."""
        return replace(self, **{name: replace(split, labels=None) for name, split in self.splits.items()})

    def require_train(self, what: str) -> Split:
        """Return the train split. Raises InvalidData, which names `what` as the user of the split, if there
        is none."""
        if self.train is None:
            raise InvalidData(f"{what} needs rows to train on; add the split 'train' to the recipe's data")
        return self.train


def read_data(
    raw: Any,
    factory: str,
    tokenizer: Tokenizer | None = None,
    *,
    of_file: bool = False,
    task: Task = "classification",
) -> Data:
    """Read the return value of a data factory.

    Strings and NaN are allowed only for a model `of_file` (one that came as a graph); the `task` says what a
    label is. Raises InvalidData, which names the split and the fault."""
    if not isinstance(raw, Mapping):
        raise InvalidData(f"{factory} returned a {type(raw).__name__}; expected a mapping of {list(_NAMES)}")
    for name in raw:
        if name not in _NAMES:
            raise InvalidData(f"{factory} returned an unknown split {name!r}; {nearest(str(name), _NAMES)}")
    for name in _NAMES[1:]:
        if name not in raw:
            raise InvalidData(f"{factory} returned no split {name!r}; only train may be missing")
    untrained = raw.get("train") is None
    splits = {
        name: read_split(f"{factory}: split {name}", raw[name], tokenizer, of_file, task)
        for name in (_NAMES[1:] if untrained else _NAMES)
    }
    splits = _share_free_axes(splits)
    _refuse_differing_inputs(factory, splits)
    refuse_overlaps(factory, {name: split.row_hashes for name, split in splits.items()})
    train = None if untrained else splits.pop("train")
    return Data(train=train, **splits)


def read_split(
    place: str, raw: Any, tokenizer: Tokenizer | None, of_file: bool, task: Task = "classification"
) -> Split:
    """Read one pair (inputs, labels). Raises InvalidData, which names `place` and the fault."""
    if not (isinstance(raw, tuple) and len(raw) == 2 and isinstance(raw[0], Mapping) and raw[0]):
        raise InvalidData(f"{place} is not a pair (inputs, labels) with inputs by name; labels may be None")
    inputs = read_inputs(place, raw[0], tokenizer, of_file=of_file)
    labels = None
    if raw[1] is not None:
        labels = read_labels(task, place, raw[1], inputs.arrays, inputs.lengths)
    hashes = hash_rows(inputs)
    if len(set(hashes)) < _FEWEST_ROWS:
        raise InvalidData(
            f"{place} holds {len(set(hashes))} different rows; fewer than {_FEWEST_ROWS} cannot be "
            "used for a measurement: return more rows"
        )
    return Split(
        inputs=inputs.arrays,
        labels=labels,
        lengths=inputs.lengths,
        row_hashes=hashes,
        sizes=inputs.sizes,
        free_axes=find_free_axes(inputs.sizes),
    )


def _share_free_axes(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Let a dimension whose size differs in one split be free in all."""
    free: dict[str, frozenset[int]] = {}
    for split in splits.values():
        for name, axes in split.free_axes.items():
            free[name] = free.get(name, frozenset()) | axes
    return {name: replace(split, free_axes=free) for name, split in splits.items()}


def _refuse_differing_inputs(factory: str, splits: Mapping[str, Split]) -> None:
    layouts = {
        name: {
            key: f"{split.inputs[key].dtype} [{', '.join(map(str, dims))}]"
            for key, dims in split.dims.items()
        }
        for name, split in splits.items()
    }
    first = next(iter(layouts))
    for name, layout in layouts.items():
        if layout != layouts[first]:
            raise InvalidData(
                f"{factory}: split {name} has the inputs {layout}, {first} has {layouts[first]}; "
                "all splits must have the same inputs, because they go to the same model"
            )
