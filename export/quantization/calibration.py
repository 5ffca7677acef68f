"""Finds the range of every activation from real rows, in memory that does not grow with their number.

onnxruntime's percentile and entropy methods hold all activations of all batches. Here only one batch is held
at a time: a first pass finds the lowest and highest values, and a second one fills a histogram of fixed size
per tensor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.errors import StepFailed
from export.onnx.model_proto import copy_model, open_model
from export.quantization.thresholds import (
    BINS,
    Histogram,
    entropy_threshold,
    error_threshold,
    percentile_threshold,
)
from export.rewrites.smoothing import Extents
from export.step import Quantize
from export.training.batches import similar_batches

_BATCH_ROWS = 8
# Of n + 1 rows from the same source, the last one is the largest with probability 1 / (n + 1). So after 19
# rows, the next one exceeds the range of a tensor in at most one of twenty cases.
_FEWEST_ROWS = 19


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The results of calibration."""

    # Tensor -> (lowest, highest) value of the range to represent.
    ranges: Mapping[str, tuple[float, float]]
    # Tensors without a range, because they hold infinity, as masks do.
    infinite: frozenset[str]
    rows: int
    # The largest amount of memory used: all watched activations of one batch, and the histograms.
    held_bytes: int


def calibrate(model: Any, tensors: tuple[str, ...], split: Split, settings: Quantize) -> Calibration:
    """Return the ranges of these tensors of the float model.

    Args:
        model: the prepared float model
        tensors: names of the tensors
        split: calibration rows
        settings: the settings of the quantize step: method and percentile of the calibration

    Returns:
        The ranges in the units of the tensors. Raises StepFailed if there are too few rows, or a value is
        NaN.
    """
    _require_rows(split)
    watch = TensorWatch(model, tensors)
    measured, counts, batch_bytes = _find_ranges(watch, split)
    ranges = {name: limits for name, limits in measured.items() if np.isfinite(limits).all()}
    infinite = frozenset(measured.keys() - ranges.keys())
    if settings.calibrate == "minmax" or not ranges:
        return Calibration(ranges=ranges, infinite=infinite, rows=len(split), held_bytes=batch_bytes)
    if settings.calibrate == "percentile":
        _require_values(counts, settings.percentile)
    histograms = _fill_histograms(watch, split, ranges)
    memory_bytes = batch_bytes + sum(histogram.nbytes for histogram in histograms.values())
    narrowed = {name: _narrow(ranges[name], histogram, settings) for name, histogram in histograms.items()}
    return Calibration(ranges=ranges | narrowed, infinite=infinite, rows=len(split), held_bytes=memory_bytes)


def find_extents(model: Any, tensors: tuple[str, ...], split: Split) -> Extents:
    """Return the lowest and highest value of each channel (last dimension) of these tensors of the float
    model. Raises StepFailed if there are too few rows."""
    _require_rows(split)
    extents: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    for batch in TensorWatch(model, tensors).batches(split):
        for name, values in batch.items():
            channels = values.reshape(-1, values.shape[-1])
            low, high = channels.min(axis=0), channels.max(axis=0)
            known = extents.get(name, (low, high))
            extents[name] = (np.minimum(low, known[0]), np.maximum(high, known[1]))
    return extents


class TensorWatch:
    """A session of the float model that also returns inner tensors."""

    def __init__(self, model: Any, tensors: tuple[str, ...]) -> None:
        watched = copy_model(model)
        inputs = {item.name for item in model.graph.input}
        self._inner = [name for name in tensors if name not in inputs]
        self._given = [name for name in tensors if name in inputs]
        outputs = {item.name for item in model.graph.output}
        watched.graph.output.extend(
            type(model.graph.output[0])(name=name) for name in self._inner if name not in outputs
        )
        self._session = open_model(watched)

    def outputs(self) -> list[Any]:
        """Return name, type and shape of the graph's outputs and the inner tensors, as onnxruntime reports
        them."""
        return list(self._session.get_outputs())

    def look(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the tensors' values for these rows."""
        # Without requested outputs, a session returns all of them.
        inner = self._session.run(self._inner, dict(arrays)) if self._inner else []
        return dict(zip(self._inner, inner, strict=True)) | {
            name: np.asarray(arrays[name]) for name in self._given
        }

    def batches(self, split: Split) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the tensors' values for all rows, a few rows of similar length at a time."""
        for rows in similar_batches(split, _BATCH_ROWS):
            yield self.look(split.take(rows))


def _require_rows(split: Split) -> None:
    if len(split) < _FEWEST_ROWS:
        raise StepFailed(
            f"the calibration split has {len(split)} rows; ranges need at least {_FEWEST_ROWS}, so that the "
            f"next row leaves one in at most 1 of {_FEWEST_ROWS + 1} cases: return more calibration rows"
        )


def _find_ranges(
    watch: TensorWatch, split: Split
) -> tuple[dict[str, tuple[float, float]], dict[str, int], int]:
    """Return the lowest and highest value of each tensor and its number of values, and the bytes of a
    batch."""
    ranges: dict[str, tuple[float, float]] = {}
    counts: dict[str, int] = {}
    most_bytes = 0
    for batch in watch.batches(split):
        most_bytes = max(most_bytes, sum(values.nbytes for values in batch.values()))
        for name, values in batch.items():
            low, high = float(values.min()), float(values.max())
            if np.isnan(low) or np.isnan(high):
                raise StepFailed(
                    f"the calibration rows make a value of nan in the tensor {name!r}: no range holds it; "
                    "look for NaN weights, a division by zero or a logarithm of zero in the model"
                )
            known = ranges.get(name, (low, high))
            ranges[name] = (min(low, known[0]), max(high, known[1]))
            counts[name] = counts.get(name, 0) + values.size
    return ranges, counts, most_bytes


def _require_values(counts: Mapping[str, int], percentile: float) -> None:
    """A percentile p leaves out one value in 1 / (1 - p / 100). A tensor with fewer values loses none, which
    is correct; but if no tensor has enough values, the method would equal minmax."""
    needed = np.inf if percentile == 100 else 1 / (1 - percentile / 100)
    name = max(counts, key=lambda tensor: counts[tensor])
    if counts[name] < needed:
        raise StepFailed(
            f"percentile {percentile:g} leaves out one value in {needed:.0f}, and the largest tensor, "
            f"{name!r}, has {counts[name]} over all calibration rows: nothing would be left out; return more "
            "calibration rows, lower `percentile`, or use `calibrate: minmax`"
        )


def _fill_histograms(
    watch: TensorWatch, split: Split, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Histogram]:
    """Fill histograms of the absolute values, from 0 to the largest; none for a tensor that is always 0."""
    largest = {name: max(-low, high) for name, (low, high) in ranges.items() if max(-low, high) > 0}
    histograms = {name: np.zeros(BINS, np.int64) for name in largest}
    for batch in watch.batches(split):
        for name, limit in largest.items():
            histograms[name] += np.histogram(np.abs(batch[name]), BINS, (0, limit))[0]
    return histograms


def _narrow(full: tuple[float, float], histogram: Histogram, settings: Quantize) -> tuple[float, float]:
    largest = max(-full[0], full[1])
    if settings.calibrate == "percentile":
        limit = percentile_threshold(histogram, largest, settings.percentile)
    elif settings.calibrate == "entropy":
        limit = entropy_threshold(histogram, largest)
    else:
        limit = error_threshold(histogram, full)
    return max(full[0], -limit), min(full[1], limit)
