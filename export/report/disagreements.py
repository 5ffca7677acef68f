"""Shows held-out rows for which a variant's answer differs from its baseline's."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.labels import name_class
from serve.bundles.bundle import Bundle

_SHOWN = 8
_VALUES = 6
_LEAST_PIXELS, _MOST_PIXELS = 4, 256


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row and both answers."""

    row: int
    # The label if there is one, and both predictions, with class names where known.
    label: str | None
    baseline: str
    variant: str
    # A PNG as a data URL; None if the row is not an image and `words` describe it.
    picture: str | None
    words: str


def find_examples(
    bundles: Mapping[str, Bundle], held_out: Split, classes: Sequence[str] = ()
) -> dict[str, list[Example]]:
    """Return, for each variant that disagrees with the baseline, the first such rows, with the class names in
    `classes`."""
    examples = {}
    for name, bundle in bundles.items():
        differing = bundle.figures.quality.disagreements[:_SHOWN]
        # A bundle of an older export may refer to other rows.
        known = [item for item in differing if item.row < len(held_out)]
        if known:
            examples[name] = [
                Example(
                    row=item.row,
                    label=None if item.label is None else name_class(item.label, classes),
                    baseline=name_class(item.baseline, classes),
                    variant=name_class(item.variant, classes),
                    picture=_draw(held_out, item.row),
                    words=_say(held_out, item.row),
                )
                for item in known
            ]
    return examples


def _draw(split: Split, row: int) -> str | None:
    """Draw the only input as an image if it has the shape of one: [h, w], [1, h, w] or [3, h, w]."""
    if len(split.inputs) > 1:
        return None
    image: NDArray[Any] = next(iter(split.inputs.values()))[row]
    if image.ndim == 3 and image.shape[0] == 1:
        image = image[0]
    elif image.ndim == 3 and image.shape[0] == 3:
        image = np.moveaxis(image, 0, -1)
    elif image.ndim != 2 or split.lengths is not None:
        return None
    if not all(_LEAST_PIXELS <= size <= _MOST_PIXELS for size in image.shape[:2]):
        return None
    low, high = float(image.min()), float(image.max())
    scaled = (image - low) / (high - low) if high > low else np.zeros(image.shape)
    content = io.BytesIO()
    matplotlib.image.imsave(content, scaled, format="png", cmap="gray", vmin=0, vmax=1)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _say(split: Split, row: int) -> str:
    if split.lengths is not None:
        return f"{split.lengths[row]} tokens"
    words = []
    for name, array in split.inputs.items():
        values = np.asarray(array[row]).ravel()
        few = ", ".join(
            str(value) if isinstance(value, str) else f"{value:.4g}" for value in values[:_VALUES]
        )
        words.append(f"{name} {few}{', ...' if len(values) > _VALUES else ''}")
    return "; ".join(words)
