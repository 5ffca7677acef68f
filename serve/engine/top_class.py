"""The class that an answer names, if it names a single class."""

import numpy as np
from numpy.typing import NDArray

from serve.engine.batch import Outputs


def top_class(outputs: Outputs) -> int | None:
    """The class with the highest score in the first output with one row of scores; None if there is none."""
    scores = _class_scores(outputs)
    return None if scores is None else int(scores.argmax())


def sound_class(outputs: Outputs) -> tuple[int, int] | None:
    """The top class and the number of classes; also None if a score is NaN or infinite."""
    scores = _class_scores(outputs)
    return None if scores is None or not np.isfinite(scores).all() else (int(scores.argmax()), len(scores))


def _class_scores(outputs: Outputs) -> NDArray[np.generic] | None:
    for scores in outputs.values():
        if scores.dtype.kind == "f" and scores.ndim == 2 and scores.shape[0] == 1 and scores.shape[1] > 1:
            row: NDArray[np.generic] = scores[0]
            return row
    return None
