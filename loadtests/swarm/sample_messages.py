"""Packs samples into messages from worker to master, and joins the samples of all workers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from loadtests.sending.samples import COLUMNS, NONE, Samples, Words

_WORDED = ("pinned", "variant", "error")


def pack(samples: Samples) -> dict[str, Any]:
    """Pack the samples into a serializable form."""
    columns = {name: getattr(samples, name).tobytes() for name in COLUMNS}
    return {"columns": columns, "words": list(samples.words)}


def unpack(packed: dict[str, Any]) -> Samples:
    """Unpack the samples."""
    columns: dict[str, Any] = {
        name: np.frombuffer(content, np.float64 if name.endswith("_s") else np.int64)
        for name, content in packed["columns"].items()
    }
    return Samples(**columns, words=tuple(packed["words"]))


def join(parts: Sequence[Samples]) -> Samples:
    """Join the samples of all parts in order of their scheduled times; each part has its own words."""
    words = Words()
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for part in parts:
        # The last entry is for NONE, which is -1.
        numbers = np.array([*map(words.number, part.words), NONE], np.int64)
        for name in COLUMNS:
            column = getattr(part, name)
            columns[name].append(numbers[column] if name in _WORDED else column)
    whole: dict[str, Any] = {name: np.concatenate(column) for name, column in columns.items()}
    order = np.argsort(whole["intended_s"], kind="stable")
    return Samples(**{name: column[order] for name, column in whole.items()}, words=tuple(words.known))
