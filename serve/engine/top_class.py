"""The class that an answer names, if it names a single class."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning, Task
from serve.engine.batch import Outputs
from serve.tasks.task_table import TASKS


def top_class(outputs: Outputs, task: Task, meanings: Mapping[str, Meaning]) -> tuple[int, int] | None:
    """The class that an answer of one row names, and the number of classes: the highest score, or for a
    single score 1 if it is above the threshold in `meanings`, else 0. None if the answer names no class, or a
    score is NaN or infinite."""
    if not TASKS[task].names_one_class:
        return None
    for name, scores in outputs.items():
        if scores.dtype.kind != "f" or len(scores) != 1:
            continue
        if task != "binary" and scores.ndim == 2 and scores.shape[1] > 1:
            return (int(scores[0].argmax()), scores.shape[1]) if np.isfinite(scores).all() else None
        if task == "binary" and scores.size == 1 and name in meanings:
            return _read_score(scores, meanings[name])
    return None


def _read_score(scores: NDArray[np.generic], meaning: Meaning) -> tuple[int, int] | None:
    score = float(scores.reshape(-1)[0])
    return (int(score > (meaning.threshold or 0.0)), 2) if np.isfinite(score) else None
