"""Calibration: the range of every activation, from real rows, in memory that does not grow with them.

onnxruntime's percentile and entropy hold all activations of all batches. Here one batch's are held at a time:
a first pass finds the least and the largest value, a second fills a histogram of fixed size per tensor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from export.data.datasets import Split
from export.errors import StepFailed
from export.quantization.thresholds import (
    BINS,
    Histogram,
    entropy_threshold,
    error_threshold,
    percentile_threshold,
)
from export.rewrites.smoothing import Extents
from export.step import Quantize

_BATCH_ROWS = 8
# Of n + 1 rows that come from the same source, the last is the largest with probability 1 / (n + 1). So after
# 19 rows, the next one leaves the range of a tensor in at most one of twenty cases.
_FEWEST_ROWS = 19


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the calibration rows say about the activations."""

    # Tensor -> (least, largest) value that is to be represented.
    ranges: Mapping[str, tuple[float, float]]
    # Tensors that have none: they hold infinity, as masks do.
    infinite: frozenset[str]
    rows: int
    # The most that was held at once: all watched activations of one batch, and the histograms.
    held_bytes: int


def calibrate(model: Any, tensors: tuple[str, ...], split: Split, settings: Quantize) -> Calibration:
    """The ranges of these tensors of the float model. Raises StepFailed when the rows cannot support them, or
    make a value that is no number."""
    _require_rows(split)
    watch = TensorWatch(model, tensors)
    found, counts, batch_bytes = _find_ranges(watch, split)
    ranges = {name: limits for name, limits in found.items() if np.isfinite(limits).all()}
    infinite = frozenset(found.keys() - ranges.keys())
    if settings.calibrate == "minmax" or not ranges:
        return Calibration(ranges=ranges, infinite=infinite, rows=len(split), held_bytes=batch_bytes)
    if settings.calibrate == "percentile":
        _require_values(counts, settings.percentile)
    histograms = _fill_histograms(watch, split, ranges)
    held = batch_bytes + sum(histogram.nbytes for histogram in histograms.values())
    narrowed = {name: _narrow(ranges[name], histogram, settings) for name, histogram in histograms.items()}
    return Calibration(ranges=ranges | narrowed, infinite=infinite, rows=len(split), held_bytes=held)


def find_extents(model: Any, tensors: tuple[str, ...], split: Split) -> Extents:
    """Per tensor of the float model the least and the largest value of each channel, its last dimension.
    Raises StepFailed when the rows are too few."""
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
    """A session of the float model that also gives inner tensors."""

    def __init__(self, model: Any, tensors: tuple[str, ...]) -> None:
        watched = type(model)()
        watched.CopyFrom(model)
        given = {item.name for item in model.graph.input}
        self._inner = [name for name in tensors if name not in given]
        self._given = [name for name in tensors if name in given]
        outputs = {item.name for item in model.graph.output}
        watched.graph.output.extend(
            type(model.graph.output[0])(name=name) for name in self._inner if name not in outputs
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def outputs(self) -> list[Any]:
        """Name, type and shape of the graph's outputs and the inner tensors, as onnxruntime knows them."""
        return list(self._session.get_outputs())

    def look(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The tensors' values for these rows."""
        # Asked for nothing, a session gives everything.
        inner = self._session.run(self._inner, dict(arrays)) if self._inner else []
        return dict(zip(self._inner, inner, strict=True)) | {
            name: np.asarray(arrays[name]) for name in self._given
        }

    def batches(self, split: Split) -> Iterator[dict[str, NDArray[Any]]]:
        """The tensors' values for all rows, a few rows of similar length at a time."""
        order = np.arange(len(split), dtype=np.int64)
        if split.lengths is not None:
            order = np.argsort(split.lengths, kind="stable")
        for rows in np.array_split(order, -(-len(order) // _BATCH_ROWS)):
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
    """Per tensor its least and largest value and how many values there were; the bytes of a batch."""
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
    """A percentile p leaves out one value in 1 / (1 - p / 100). Where a tensor has fewer values it leaves out
    none, and that is right; where none has as many, it would be minmax under another name."""
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
    """Of the absolute values, from 0 to the largest; none for a tensor that is always 0."""
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
