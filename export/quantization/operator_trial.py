"""Tests each operator of a quantized graph on the float graph's inputs; it must answer like the float
operator, except for rounding.

Both graphs are cut where they have a value of the same name. There the quantized graph gets the float graph's
value, so no error of an earlier layer hides or excuses one of a later layer. The tolerance is how far the
float operator's answer moves when its weights and inputs are rounded."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.quantization.calibration import TensorWatch
from export.quantization.graph_cut import cut, inputs, run, show_rounded
from export.quantization.layers import Layer
from export.quantization.rounding import Ranges, move_inputs, move_weights
from export.rewrites.graph_cleanup import names_read
from export.step import Quantize
from serve.base.tensor import Arrays
from serve.bundles.bundle import sha256

# Number of rows; fewer if all their values would exceed the limit, in which case each row has many positions.
_ROWS = 4
_MOST_BYTES = 2**28
# One exact rounding, then random ones: if all rows are alike, a single one may not move an answer at all.
_TIMES = 4
# Tolerance as a multiple of the effect of rounding. Correct integers stay below 2; wiring errors are far
# above.
_FACTOR = 4.0
# Relative to an answer's size: sums of floats in another order.
_FLOAT_NOISE = 1e-4
# Relative to an answer's size. If rounding removes more, little of the answer is left.
_MOST_LOST = 0.5
_LEAST = np.finfo(np.float64).tiny


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """How a float model is quantized."""

    # With types for all values, and a unique name for every node.
    model: Any
    settings: Quantize
    # Ranges of the values that become integers; none if each input has its own.
    ranges: Ranges
    # Nodes without weights that also compute with integers.
    others: frozenset[str]
    # Nodes that stay in float in any case -> the reason.
    endless: Mapping[str, str] = field(default_factory=dict)
    # Returns the model with these layers as integers, and leaves the nodes of these names unchanged.
    make: Callable[[Sequence[Layer], Collection[str]], Any]


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A value of the quantized graph that differs by more than rounding explains."""

    reason: str
    # The float model's nodes that compute it, and those that compute their inputs.
    nodes: frozenset[str]
    before: frozenset[str]


def find_misses(
    plan: TrialPlan, quantized: Any, layers: Sequence[Layer], split: Split, proven: set[str] | None = None
) -> list[Miss]:
    """Return the values of the quantized graph that are wrong on a few rows of the split.

    Args:
        plan: how the model was quantized
        quantized: the quantized graph
        layers: its quantized layers
        split: the rows
        proven: digests of parts that are right, which are not tried again; those that are found right are
            added
    """
    shared = _shared(plan.model, quantized)
    proven = set() if proven is None else proven
    changed = _changed(plan.model, quantized, shared)
    parts = {name: part for name, part in changed.items() if part.digest not in proven}
    if not parts:
        return []
    trial, moved = (cut(model, shared, parts) for model in (show_rounded(quantized, shared), plan.model))
    ranges = _behind_clips(plan.model, shared, plan.ranges)
    free = {} if ranges else _sources(plan.model, layers)
    known = _look(plan.model, {*inputs(trial), *inputs(moved), *parts, *free}, split)
    squares = {name: np.zeros(known[name].shape) for name in parts if known[name].dtype == np.float32}
    for seed in range(_TIMES):
        signs = np.random.default_rng(seed) if seed else None
        weights = move_weights(moved, layers, plan.settings, signs)
        rounded = run(weights, move_inputs(known, free, ranges, signs), parts)
        for name, total in squares.items():
            alone = move_inputs({name: known[name]}, {}, ranges, signs)[name]
            np.add(total, _square(known[name], rounded[name]) + _square(known[name], alone), out=total)
    actual = run(trial, known, parts)
    # Methods other than minmax clip values on purpose; the floor judges what that costs.
    most_lost = _MOST_LOST if plan.settings.calibrate == "minmax" else np.inf
    misses = []
    for name, total in squares.items():
        reason = _judge(known[name], actual[name], np.sqrt(total), most_lost)
        if reason is None:
            proven.add(parts[name].digest)
            continue
        before = frozenset().union(*(changed[item].nodes for item in parts[name].reads if item in changed))
        misses.append(Miss(reason=f"{reason} in {name!r}", nodes=parts[name].nodes, before=before))
    return misses


def _square(known: NDArray[Any], rounded: NDArray[Any]) -> NDArray[np.float64]:
    """Return the squared movement of each number, as a part of the mean over all roundings."""
    # The difference of two infinities, which masks have, is NaN.
    with np.errstate(invalid="ignore"):
        way = np.subtract(rounded, known, dtype=np.float64)
    return np.asarray(np.nan_to_num(np.square(way), posinf=0.0) / _TIMES)


def _look(model: Any, names: set[str], split: Split) -> Arrays:
    """Return these values of the float model on rows from all over the split: as many as memory allows."""
    for count in (1, _ROWS):
        rows = split.take(np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64))
        known = TensorWatch(model, tuple(sorted(names - rows.keys()))).look(rows) | dict(rows)
        if sum(array.nbytes for array in known.values()) * _ROWS > _MOST_BYTES:
            break
    return known


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The part of the quantized graph that computes one value from earlier values that both graphs have."""

    nodes: frozenset[str]
    reads: frozenset[str]
    # Over its nodes and their constants.
    digest: str


def _shared(model: Any, quantized: Any) -> frozenset[str]:
    """Return the tensors that both graphs compute."""
    one, other = ({name for node in item.graph.node for name in node.output} for item in (model, quantized))
    # Only tensors have a size and can be compared: a sequence is computed again by the part that reads it.
    others = {item.name for item in model.graph.value_info if not item.type.HasField("tensor_type")}
    return frozenset((one & other) - others - {""})


def _changed(model: Any, quantized: Any, shared: Collection[str]) -> dict[str, _Part]:
    """Return the values that the quantized graph computes with other nodes than the float model, in its
    order."""
    same = {node.SerializeToString(deterministic=True) for node in model.graph.node}
    names = {node.name for node in model.graph.node}
    makers = {name: node for node in quantized.graph.node for name in node.output if name}
    digests = {item.name: _digest(item) for item in quantized.graph.initializer}
    parts: dict[str, _Part] = {}
    for value in (name for node in quantized.graph.node for name in node.output if name in shared):
        nodes: dict[str, Any] = {}
        reads: set[str] = set()
        left = [value]
        while left:
            node = makers[left.pop()]
            # A node has a name, or a unique output.
            nodes[next(filter(None, node.output))] = node
            made = {name for name in names_read(node) if name in makers}
            reads |= made & set(shared)
            left += [name for name in made - set(shared) if name not in nodes]
        if any(node.SerializeToString(deterministic=True) not in same for node in nodes.values()):
            known = frozenset(node.name for node in nodes.values() if node.name in names)
            contents = sorted(_digest(node) for node in nodes.values())
            contents += [digests[name] for node in nodes.values() for name in node.input if name in digests]
            digest = sha256(" ".join([value, *contents]).encode())
            parts[value] = _Part(nodes=known, reads=frozenset(reads), digest=digest)
    return parts


def _digest(item: Any) -> str:
    return sha256(item.SerializeToString(deterministic=True))


def _sources(model: Any, layers: Sequence[Layer]) -> Mapping[str, str]:
    """Map what the layers read and quantize to the operator that reads it."""
    known = {layer.node for layer in layers if layer.operator != "Gather"}
    return {node.input[0]: node.op_type for node in model.graph.node if node.name in known}


def _behind_clips(model: Any, shared: Collection[str], ranges: Ranges) -> Ranges:
    """Return the ranges by quantized value; if quantization replaces a Clip, by the Clip's input."""
    clips = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Clip"}
    return {name if name in shared else clips.get(name, name): item for name, item in ranges.items()}


def _judge(
    expected: NDArray[Any], actual: NDArray[Any], spread: NDArray[Any], most_lost: float
) -> str | None:
    """Return how an answer differs from the float graph's; None if it does not.

    `spread` is how far rounding moves each number. Channels are judged separately, so that none hides a lost
    bias of another, and so is the single worst number."""
    if actual.shape != expected.shape:
        return f"has the shape {list(actual.shape)} instead of {list(expected.shape)}"
    if not expected.size:
        return None
    # Masks are infinite.
    finite = np.isfinite(expected)
    expected, spread = (np.where(finite, item, 0).astype(np.float64) for item in (expected, spread))
    error = np.where(finite, actual - expected, 0)
    channel = 1 if expected.ndim > 3 else expected.ndim - 1
    others = tuple(axis for axis in range(expected.ndim) if axis != channel)
    noise = _FLOAT_NOISE * _rms(expected)
    bound = _FACTOR * np.hypot(_rms(spread, others), _rms(spread)) + noise
    far = np.max(_rms(error, others) / np.maximum(bound, _LEAST))
    most = _FACTOR * np.hypot(spread.max(), _rms(spread)) + _FLOAT_NOISE * np.abs(expected).max()
    far = max(far, np.abs(error).max() / max(most, _LEAST))
    if not far <= 1:
        return f"is {far * _FACTOR:.1f} times as far off as rounding explains"
    lost = float(_rms(error) / np.maximum(_rms(expected), _LEAST))
    return f"loses {lost:.0%} of its size to rounding" if lost > most_lost else None


def _rms(array: NDArray[Any], axis: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.mean(np.square(array, dtype=np.float64), axis=axis)))
