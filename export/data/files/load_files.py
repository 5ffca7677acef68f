"""Reads the files of a recipe into splits, as a data factory would return them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export.data.datasets import Split
from export.data.files.align_columns import align_columns
from export.data.files.class_index import index_classes
from export.data.files.name_lists import mark_names
from export.data.files.row_file import read_rows
from export.data.files.splitting import split_rows
from export.data_source import DataFiles
from export.errors import InvalidData
from serve.bundles.meaning import Task

# The names of a binary task's labels: that of 0, and that of 1.
_SIDES = 2
Pair = tuple[dict[str, Any], Any]


def load_files(
    source: DataFiles,
    folder: Path,
    known: Sequence[str],
    read: Callable[[str, Pair], Split],
    task: Task = "classification",
) -> tuple[dict[str, Pair], tuple[str, ...]]:
    """Return the splits of the recipe in `folder`, and the names of the classes if the model has no
    `known` names and the labels are names (of a `multilabel` task: lists of names).

    `read` checks the rows of one file; its first argument is their place in messages. Raises InvalidData."""
    files = source.files
    paths = {"path": files.path} if files.path is not None else files.by_split
    places = {name: str(folder / path) for name, path in paths.items()}
    rows = align_columns(places, {name: read_rows(Path(place), files) for name, place in places.items()})
    labels = {places[name]: item.labels for name, item in rows.items() if item.labels is not None}
    indexes, names = (mark_names if task == "multilabel" else index_classes)(labels, known)
    if task == "binary" and names and len(names) != _SIDES:
        raise InvalidData(
            f"the labels of a binary task have two names, and these are {', '.join(map(repr, names[:4]))}: "
            "drop the rows with other labels, or write 1 or 0 into the file"
        )
    rows = {name: replace(item, labels=indexes.get(places[name])) for name, item in rows.items()}
    if source.split is None:
        return {name: item.pair for name, item in rows.items()}, names
    place, whole = places["path"], rows["path"]
    checked = read(place, whole.pair)
    classes = checked.labels
    if classes is not None and (classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer)):
        classes = None
    parts = split_rows(place, checked.row_hashes, classes, source.split.by_split, source.seed)
    return {name: whole.take(part) for name, part in parts.items()}, names
