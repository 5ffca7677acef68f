"""Describes one row of an output in a few words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning
from serve.tasks.answer_form import are_shares, classes_last
from serve.tasks.closeness import log_shares
from serve.tasks.detections import read_detections

# Of a name of a class, in letters.
_LONGEST_NAME = 40


def describe(
    meaning: Meaning, output: NDArray[np.generic], cosine: float | None, classes: Sequence[str] = ()
) -> str:
    """Describe one row of an output: the top class and its share, the cosine to the baseline's, or the value.
    A class has its name if there are as many `classes` as scores, else its number."""
    if output.dtype.kind == "f" and output.size > 1 and cosine is not None:
        if meaning.kind == "vectors":
            return f"cosine {cosine:.3g}"
        with np.errstate(all="ignore"):
            row = classes_last(meaning, output[None])
            scores = row.reshape(-1, row.shape[-1]).astype(np.float64)
            tops, shares = scores.argmax(-1), np.exp(log_shares(scores, are_shares(scores))).max(-1)
        names = [name[:_LONGEST_NAME] for name in classes] if len(classes) == scores.shape[-1] else None
        class_names = [top if names is None else names[top] for top in tops[:4]]
        shown = ", ".join(f"{top} ({share:.2f})" for top, share in zip(class_names, shares[:4], strict=True))
        return shown + (", ..." if len(tops) > 4 else "")
    if meaning.kind == "boxes" and meaning.layout is not None:
        return _describe_boxes(meaning, output, classes)
    if meaning.kind == "ranks":
        order = np.argsort(-output.reshape(-1).astype(np.float64), kind="stable")[:4]
        return f"first items {', '.join(map(str, order))}{', ...' if output.size > len(order) else ''}"
    if meaning.kind == "labels" and output.dtype.kind == "f":
        return _describe_labels(meaning, output.reshape(-1), classes)
    return f"{output.tolist()}"[:60]


def _describe_boxes(meaning: Meaning, output: NDArray[np.generic], classes: Sequence[str]) -> str:
    """The number of detections, and the first of them."""
    if output.ndim != 2:
        return f"{list(output.shape)}"
    [found] = read_detections(meaning, output[None])
    shown = ", ".join(
        f"{classes[label][:_LONGEST_NAME] if 0 <= label < len(classes) else label} ({score:.2f})"
        f" at {np.round(box).astype(int).tolist()}"
        for label, score, box in zip(found.classes[:3], found.scores, found.boxes, strict=False)
    )
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return shown + more or "no detection"


def _describe_labels(meaning: Meaning, scores: NDArray[np.generic], classes: Sequence[str]) -> str:
    """The labels that hold, with their scores; of a single one whether it does."""
    held = np.flatnonzero(scores.astype(np.float64) > (meaning.threshold or 0))
    if scores.size == 1:
        return f"{classes[len(held)] if len(classes) == 2 else len(held)} ({scores[0]:.3g})"
    names = [name[:_LONGEST_NAME] for name in classes] if len(classes) == scores.size else None
    shown = ", ".join(
        f"{label if names is None else names[label]} ({scores[label]:.2f})" for label in held[:4]
    )
    return shown + (", ..." if len(held) > 4 else "") or "no label"
