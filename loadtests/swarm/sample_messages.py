"""Shipping: samples as a message from a worker to the master, and the samples of all of them as one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from loadtests.sending.samples import COLUMNS, NONE, Samples, Words

_WORDED = ("pinned", "variant", "error")


def pack(samples: Samples) -> dict[str, Any]:
    """The samples as what a message can carry."""
    columns = {name: getattr(samples, name).tobytes() for name in COLUMNS}
    return {"columns": columns, "words": list(samples.words)}


def unpack(packed: dict[str, Any]) -> Samples:
    """The samples that were packed."""
    columns: dict[str, Any] = {
        name: np.frombuffer(content, np.float64 if name.endswith("_s") else np.int64)
        for name, content in packed["columns"].items()
    }
    return Samples(**columns, words=tuple(packed["words"]))


def join(parts: Sequence[Samples]) -> Samples:
    """The samples of all parts in order of their intended moments; each part has words of its own."""
    words = Words()
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for part in parts:
        # The last stands for NONE, which is -1.
        numbers = np.array([*map(words.number, part.words), NONE], np.int64)
        for name in COLUMNS:
            column = getattr(part, name)
            columns[name].append(numbers[column] if name in _WORDED else column)
    whole: dict[str, Any] = {name: np.concatenate(column) for name, column in columns.items()}
    order = np.argsort(whole["intended_s"], kind="stable")
    return Samples(**{name: column[order] for name, column in whole.items()}, words=tuple(words.known))
