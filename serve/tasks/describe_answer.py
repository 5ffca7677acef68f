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
# Of the items of a row, such as pixels or numbers.
_SHOWN_ITEMS = 4
Bools = NDArray[np.bool_]


def describe(
    meaning: Meaning,
    output: NDArray[np.generic],
    cosine: float | None,
    classes: Sequence[str] = (),
    places: Bools | None = None,
) -> str:
    """Describe one row of an output: the top class and its share, the cosine to the baseline's, or the value.
    A class has its name if there are as many `classes` as scores, else its number. If a row has several
    classes, such as one for each pixel, those at these `places` are described, [items]; None: the first."""
    if output.dtype.kind == "f" and output.size > 1 and cosine is not None:
        if meaning.kind == "vectors":
            return f"cosine {cosine:.3g}"
        with np.errstate(all="ignore"):
            row = classes_last(meaning, output[None])
            scores = row.reshape(-1, row.shape[-1]).astype(np.float64)
            tops, shares = scores.argmax(-1), np.exp(log_shares(scores, are_shares(scores))).max(-1)
        names = [name[:_LONGEST_NAME] for name in classes] if len(classes) == scores.shape[-1] else None
        chosen = np.arange(len(tops)) if places is None else np.flatnonzero(places)
        shown = ", ".join(
            f"{'' if places is None else _place(item, row.shape[1:-1])}"
            f"{tops[item] if names is None else names[tops[item]]} ({shares[item]:.2f})"
            for item in chosen[:_SHOWN_ITEMS]
        )
        return shown + (", ..." if len(chosen) > _SHOWN_ITEMS else "")
    if meaning.kind == "boxes" and meaning.layout is not None:
        return _describe_boxes(meaning, output, classes)
    if meaning.kind == "ranks":
        order = np.argsort(-output.reshape(-1).astype(np.float64), kind="stable")[:4]
        return f"first items {', '.join(map(str, order))}{', ...' if output.size > len(order) else ''}"
    if meaning.kind == "labels" and output.dtype.kind == "f":
        return _describe_labels(meaning, output.reshape(-1), classes)
    numbers = output.dtype.kind == "f" and meaning.kind != "exact"
    return _describe_numbers(output) if numbers else f"{output.tolist()}"[:60]


def _describe_numbers(output: NDArray[np.generic]) -> str:
    """The first numbers, each with six digits."""
    numbers = [f"{number:.6g}" for number in output.reshape(-1)[:_SHOWN_ITEMS].astype(np.float64)]
    if not output.ndim:
        return numbers[0]
    return f"[{', '.join(numbers)}{', ...' if output.size > _SHOWN_ITEMS else ''}]"


def _place(item: int, shape: tuple[int, ...]) -> str:
    """Where a pixel or token is in its row."""
    return f"at {', '.join(str(place) for place in np.unravel_index(item, shape))}: "


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
