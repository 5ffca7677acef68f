"""Reduces channels with outliers before ranges are chosen (smoothing, and splitting of outlier neurons)."""

from typing import Any

from export.artifacts import Note
from export.data.datasets import Split
from export.errors import StepFailed
from export.onnx.model_proto import make_graph
from export.quantization.calibration import find_extents
from export.rewrites.outliers import find_activations, split_outliers
from export.rewrites.rewrite_check import prove_same
from export.rewrites.smoothing import find_smoothable, smooth
from export.step import Quantize


def level(model: Any, settings: Quantize, split: Split) -> Note:
    """Smooth and split in place as the settings say; return the step's note. Raises StepFailed if the graph
    has no place for one of them."""
    note: Note = {}
    smoothable = find_smoothable(model) if settings.smooth is not None else ()
    activations = find_activations(model) if settings.split_outliers else ()
    if settings.smooth is not None and not smoothable:
        raise StepFailed(
            f"`smooth: {settings.smooth:g}` found no LayerNormalization that a product with constant weights "
            "reads, so the scales have no place; remove `smooth`"
        )
    if settings.split_outliers and not activations:
        raise StepFailed(
            "`split_outliers: true` found no Gelu between two products with constant weights; remove it"
        )
    # Smoothing does not change what comes out of a Gelu.
    extents = find_extents(model, (*smoothable, *activations), split) if smoothable or activations else {}
    if settings.smooth is not None:
        before = make_graph(model)
        note |= {"smoothed": smooth(model, {name: extents[name] for name in smoothable}, settings.smooth)}
        prove_same(before, make_graph(model), split)
    if settings.split_outliers:
        count = split_outliers(model, {name: extents[name] for name in activations})
        if not count:
            highest = max(float(extents[name][1].max()) for name in activations)
            raise StepFailed(
                f"`split_outliers: true` changed nothing: no neuron behind {len(activations)} Gelus is far "
                f"enough above the others (the largest value is {highest:.3g}); remove it"
            )
        note |= {"split_outliers": count}
    return note
