"""Channels: those that reach far beyond the others, made like them before ranges are chosen."""

from typing import Any

from export.artifacts import Note
from export.data.datasets import Split
from export.errors import StepFailed
from export.quantization.calibration import find_extents
from export.rewrites.outliers import find_activations, split_outliers
from export.rewrites.rewritten import prove_same
from export.rewrites.smoothing import find_smoothable, smooth
from export.step import Quantize


def level(model: Any, settings: Quantize, split: Split) -> Note:
    """Smooth and split as the settings say, in place, and what to note of it. Raises StepFailed when the
    graph has no place for one of them."""
    note: Note = {}
    smoothable = find_smoothable(model) if settings.smooth is not None else ()
    activations = find_activations(model) if settings.split_outliers else ()
    if settings.smooth is not None and not smoothable:
        raise StepFailed(
            f"`smooth: {settings.smooth:g}` found no LayerNormalization that a product with constant weights "
            "reads: there is nowhere to put the scales; leave `smooth` out"
        )
    if settings.split_outliers and not activations:
        raise StepFailed(
            "`split_outliers: true` found no Gelu between two products with constant weights; leave it out"
        )
    # What comes out of a Gelu is the same before and after smoothing.
    extents = find_extents(model, (*smoothable, *activations), split) if smoothable or activations else {}
    if settings.smooth is not None:
        before = model.SerializeToString()
        note |= {"smoothed": smooth(model, {name: extents[name] for name in smoothable}, settings.smooth)}
        prove_same(before, model.SerializeToString(), split)
    if settings.split_outliers:
        count = split_outliers(model, {name: extents[name] for name in activations})
        if not count:
            highest = max(float(extents[name][1].max()) for name in activations)
            raise StepFailed(
                f"`split_outliers: true` changed nothing: no neuron behind {len(activations)} Gelus is far "
                f"enough above the others (the largest value is {highest:.3g}); leave it out"
            )
        note |= {"split_outliers": count}
    return note
