"""Reads the labels: the true classes of rows or tokens, or the right numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.box_labels import read_boxes
from export.data.inputs import MASK, Lengths
from export.data.relevance_labels import read_relevance
from export.errors import InvalidData
from serve.base.tensor import Arrays
from serve.bundles.meaning import Task
from serve.tasks.task_table import TASKS

Classes = NDArray[np.int64]
# Classes, or the numbers of a regression as float64.
Labels = NDArray[Any]

# A token with this label does not count; this is torch's default for cross-entropy.
IGNORE = -100
# A pixel of a mask in bytes that does not count.
_NO_BYTE = 255


def read_labels(task: Task, place: str, raw: Any, inputs: Arrays, lengths: Lengths | None) -> Labels:
    """Read the labels of a split, which are what the task says. Raises InvalidData."""
    traits, rows = TASKS[task], len(next(iter(inputs.values())))
    if traits.label_type == "number":
        return _read_numbers(place, raw, rows)
    if traits.label_type == "map":
        return _read_maps(place, raw, rows)
    if traits.label_type == "boxes":
        return read_boxes(place, raw, rows)
    if traits.label_type == "relevance":
        return read_relevance(place, raw, rows)
    if traits.label_type == "flag":
        return _read_flags(place, raw, rows, several=traits.label_dims == ("rows", "labels"))
    return _read_classes(place, raw, inputs, lengths)


def _stack(place: str, raw: Any) -> NDArray[Any]:
    """Return the labels as one array; files may give a list for each row."""
    try:
        labels = np.asarray(raw)
        return np.asarray(labels.tolist()) if labels.dtype.kind == "O" else labels
    except ValueError:
        raise InvalidData(
            f"{place}: the labels of the rows have different sizes; give each row as many labels"
        ) from None


def _read_numbers(place: str, raw: Any, rows: int) -> NDArray[np.float64]:
    """Read numbers, [rows, ...], with NaN for those that do not count."""
    labels = _stack(place, raw)
    if labels.dtype.kind not in "fiub" or labels.shape[:1] != (rows,):
        raise InvalidData(
            f"{place}: labels are {labels.dtype} of shape {list(labels.shape)}; expected an array of numbers "
            f"with {rows} rows, such as labels.astype('float32')"
        )
    numbers = labels.astype(np.float64)
    if np.isinf(numbers).any():
        row = np.argwhere(np.isinf(numbers))[0][0]
        raise InvalidData(
            f"{place}: a label in row {row} is infinite; give NaN for a number that does not count"
        )
    if np.isnan(numbers).all():
        raise InvalidData(f"{place}: all labels are NaN (ignored); give None for no labels")
    return numbers


def _read_maps(place: str, raw: Any, rows: int) -> Classes:
    """Read the class of each place, [rows, ...], with -100 (or 255 in bytes) for one that does not count."""
    labels = _stack(place, raw)
    if labels.dtype.kind not in "iu" or labels.ndim < 2 or len(labels) != rows:
        raise InvalidData(
            f"{place}: labels are {labels.dtype} of shape {list(labels.shape)}; expected whole numbers of "
            f"the shape [{rows}, ...], one for each place of the output, such as each pixel"
        )
    classes = labels.astype(np.int64)
    if labels.dtype == np.uint8:
        classes[labels == _NO_BYTE] = IGNORE
    wrong = np.argwhere((classes < 0) & (classes != IGNORE))
    if len(wrong):
        raise InvalidData(
            f"{place}: label {classes[tuple(wrong[0])]} in row {wrong[0][0]}; labels start at 0; {IGNORE} "
            "does not count"
        )
    if (classes == IGNORE).all():
        raise InvalidData(f"{place}: all labels are {IGNORE} (ignored); give None for no labels")
    return classes


def _read_flags(place: str, raw: Any, rows: int, *, several: bool) -> Classes:
    """Read 1 or 0 for each row, [rows], or for each label, [rows, labels], with -100 for one that does not
    count."""
    labels = _stack(place, raw)
    if not several and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "fiub" or labels.ndim != 1 + several or len(labels) != rows:
        shape = [rows, "labels"] if several else [rows]
        raise InvalidData(
            f"{place}: labels are {labels.dtype} of shape {list(labels.shape)}; expected 1 or 0 in an array "
            f"{shape}"
        )
    wrong = np.argwhere(~np.isin(labels, (0, 1, IGNORE) if several else (0, 1)))
    if len(wrong):
        raise InvalidData(
            f"{place}: label {labels[tuple(wrong[0])]} in row {wrong[0][0]}; expected 1 where the label "
            f"holds, 0 where it does not{f', {IGNORE} where it does not count' if several else ''}"
        )
    if (labels == IGNORE).all():
        raise InvalidData(f"{place}: all labels are {IGNORE} (ignored); give None for no labels")
    return labels.astype(np.int64)


def _read_classes(place: str, raw: Any, inputs: Arrays, lengths: Lengths | None) -> Classes:
    """Read one class index per row, [rows], or per token, [rows, tokens]."""
    rows = len(next(iter(inputs.values())))
    items = list(raw) if np.iterable(raw) else []
    if len(items) != rows:
        raise InvalidData(f"{place} has {rows} rows and {len(items)} labels; label every row or none")
    per_token = np.ndim(items[0]) == 1
    if per_token and lengths is None:
        lengths = np.full(rows, len(items[0]))
    if per_token and lengths is not None:
        width = inputs[MASK].shape[1] if MASK in inputs else len(items[0])
        labels = _pad(place, items, lengths, width)
    else:
        labels = np.asarray(raw)
    if labels.ndim != 1 + per_token or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidData(
            f"{place}: labels are {labels.dtype} of shape {list(labels.shape)}; expected one whole number "
            "per row, such as labels.astype('int64') (for a file: `dtypes: {label: int64}`), or a list of "
            "them per row, one for each token"
        )
    if per_token and (labels == IGNORE).all():
        raise InvalidData(f"{place}: all labels are {IGNORE} (ignored); give None for no labels")
    wrong = np.argwhere((labels < 0) & ~((labels == IGNORE) & per_token))
    if len(wrong):
        raise InvalidData(f"{place}: label {labels[tuple(wrong[0])]} in row {wrong[0][0]}; labels start at 0")
    return labels.astype(np.int64)


def name_class(label: int, classes: Sequence[str]) -> str:
    """Return the name of a class, or its number if it has none."""
    return classes[label] if 0 <= label < len(classes) else str(label)


def _pad(place: str, items: Sequence[Any], lengths: Lengths, width: int) -> NDArray[Any]:
    """Combine lists of labels into an array [rows, width], with -100 on the padding.

    Each list must have the length of its row, or the full width."""
    labels = np.full((len(items), width), IGNORE, np.asarray(items[0]).dtype)
    for row, (item, length) in enumerate(zip(items, lengths, strict=True)):
        if len(item) != length and (len(item) != width or np.any(np.asarray(item)[length:] != IGNORE)):
            raise InvalidData(
                f"{place}: row {row} has {length} tokens and {len(item)} labels; give one label per token of "
                f"the model's own tokenizer, special ones included, and {IGNORE} where none counts"
            )
        labels[row, : len(item)] = item
    return labels
