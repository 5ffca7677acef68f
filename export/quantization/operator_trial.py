"""Trial: each operator of a quantized graph is given what the float graph has at its place, and must answer
like the float operator but for rounding.

Both graphs are cut wherever they have a value of the same name: there the quantized one is fed the float
graph's value, so that no error of an earlier layer hides or excuses one of a later layer. How far rounding
may carry an answer is what the float operator makes of weights and inputs that rounding has moved."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.quantization.calibration import TensorWatch
from export.quantization.cut import cut, inputs, run, show_rounded
from export.quantization.layers import Layer
from export.quantization.rounding import Ranges, move_inputs, move_weights
from export.rewrites.finish import names_read
from export.step import Quantize
from serve.base.tensor import Arrays

# Fewer where all values of so many would take more than this; then each row has many positions.
_ROWS = 4
_MOST_BYTES = 2**28
# Rounding once as it is, then by chance: where all rows are alike, one time may move an answer by nothing.
_TIMES = 4
# Times what rounding does. Integers keep below 2; what is wired wrongly does not come near.
_FACTOR = 4.0
# Of an answer's own size: sums of floats in another order.
_FLOAT_NOISE = 1e-4
# Of an answer's size. Where rounding takes more, little is left of it.
_MOST_LOST = 0.5
_LEAST = np.finfo(np.float64).tiny


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """How a float model is quantized."""

    # With types for all values, and a name of its own for every node.
    model: Any
    settings: Quantize
    # Of what becomes integers; none where each input comes with its own.
    ranges: Ranges
    # Nodes without weights that compute with integers, too.
    others: frozenset[str]
    # Those of all these nodes that stay in float whatever their integers would say -> why.
    endless: Mapping[str, str] = field(default_factory=dict)
    # The model with these layers as integers, and the nodes of these names left as they are.
    make: Callable[[Sequence[Layer], Collection[str]], Any]


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A value that the quantized graph makes otherwise than rounding explains."""

    reason: str
    # The float model's nodes that make it, and those that make what these read.
    nodes: frozenset[str]
    before: frozenset[str]


def find_misses(plan: TrialPlan, quantized: Any, layers: Sequence[Layer], split: Split) -> list[Miss]:
    """What the quantized graph makes otherwise, on a few rows of the split; `layers` are those in it that
    became integers."""
    shared = _shared(plan.model, quantized)
    parts = _changed(plan.model, quantized, shared)
    trial, moved = (cut(model, shared, parts) for model in (show_rounded(quantized, shared), plan.model))
    ranges = _behind_clips(plan.model, shared, plan.ranges)
    free = {} if ranges else _sources(plan.model, layers)
    known = _look(plan.model, {*inputs(trial), *inputs(moved), *parts, *free}, split)
    squares = {name: np.zeros(known[name].shape) for name in parts if known[name].dtype == np.float32}
    for seed in range(_TIMES):
        signs = np.random.default_rng(seed) if seed else None
        made = run(
            move_weights(moved, layers, plan.settings, signs), move_inputs(known, free, ranges, signs), parts
        )
        for name in squares:
            rounded = move_inputs({name: known[name]}, {}, ranges, signs)[name]
            for array in (made[name], rounded):
                # Between two infinities, as masks have them, is no number.
                with np.errstate(invalid="ignore"):
                    way = np.subtract(array, known[name], dtype=np.float64)
                squares[name] += np.nan_to_num(np.square(way), posinf=0.0) / _TIMES
    came = run(trial, known, parts)
    # Other ways than minmax cut values off because the recipe wants it; what that costs is for the floor.
    most_lost = _MOST_LOST if plan.settings.calibrate == "minmax" else np.inf
    return [
        Miss(
            reason=f"{reason} in {name!r}",
            nodes=parts[name].nodes,
            before=frozenset().union(*(parts[item].nodes for item in parts[name].reads if item in parts)),
        )
        for name, total in squares.items()
        if (reason := _judge(known[name], came[name], np.sqrt(total), most_lost))
    ]


def _look(model: Any, names: set[str], split: Split) -> Arrays:
    """These values of the float model on rows from all over the split: as many as are not too large."""
    for count in (1, _ROWS):
        rows = split.take(np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64))
        known = TensorWatch(model, tuple(sorted(names - rows.keys()))).look(rows) | dict(rows)
        if sum(array.nbytes for array in known.values()) * _ROWS > _MOST_BYTES:
            break
    return known


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What makes one value in the quantized graph, from values before it that both graphs have."""

    nodes: frozenset[str]
    reads: frozenset[str]


def _shared(model: Any, quantized: Any) -> frozenset[str]:
    """The values that nodes of both graphs make."""
    one, other = ({name for node in item.graph.node for name in node.output} for item in (model, quantized))
    return frozenset((one & other) - {""})


def _changed(model: Any, quantized: Any, shared: Collection[str]) -> dict[str, _Part]:
    """The values that the quantized graph makes by other nodes than the float model, in its order."""
    same = {node.SerializeToString(deterministic=True) for node in model.graph.node}
    names = {node.name for node in model.graph.node}
    makers = {name: node for node in quantized.graph.node for name in node.output if name}
    parts: dict[str, _Part] = {}
    for value in (name for node in quantized.graph.node for name in node.output if name in shared):
        nodes: dict[str, Any] = {}
        reads: set[str] = set()
        left = [value]
        while left:
            node = makers[left.pop()]
            # A node has a name, or an output that no other has.
            nodes[next(filter(None, node.output))] = node
            made = {name for name in names_read(node) if name in makers}
            reads |= made & set(shared)
            left += [name for name in made - set(shared) if name not in nodes]
        if any(node.SerializeToString(deterministic=True) not in same for node in nodes.values()):
            known = frozenset(node.name for node in nodes.values() if node.name in names)
            parts[value] = _Part(nodes=known, reads=frozenset(reads))
    return parts


def _sources(model: Any, layers: Sequence[Layer]) -> Mapping[str, str]:
    """What the layers read and make integers of -> the operator that does."""
    known = {layer.node for layer in layers if layer.operator != "Gather"}
    return {node.input[0]: node.op_type for node in model.graph.node if node.name in known}


def _behind_clips(model: Any, shared: Collection[str], ranges: Ranges) -> Ranges:
    """The ranges, each by what becomes integers: where these do the work of a Clip, by what it reads."""
    clips = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Clip"}
    return {name if name in shared else clips.get(name, name): item for name, item in ranges.items()}


def _judge(wanted: NDArray[Any], came: NDArray[Any], spread: NDArray[Any], most_lost: float) -> str | None:
    """In what an answer misses the float graph's; None: in nothing. `spread`: how far rounding carries each
    number of it. Channel by channel, so that no other hides a bias that is lost; and the one farthest off."""
    if came.shape != wanted.shape:
        return f"has the shape {list(came.shape)} instead of {list(wanted.shape)}"
    if not wanted.size:
        return None
    # Masks are infinite.
    finite = np.isfinite(wanted)
    wanted, spread = (np.where(finite, item, 0).astype(np.float64) for item in (wanted, spread))
    error = np.where(finite, came - wanted, 0)
    channel = 1 if wanted.ndim > 3 else wanted.ndim - 1
    others = tuple(axis for axis in range(wanted.ndim) if axis != channel)
    noise = _FLOAT_NOISE * _rms(wanted)
    bound = _FACTOR * np.hypot(_rms(spread, others), _rms(spread)) + noise
    far = np.max(_rms(error, others) / np.maximum(bound, _LEAST))
    most = _FACTOR * np.hypot(spread.max(), _rms(spread)) + _FLOAT_NOISE * np.abs(wanted).max()
    far = max(far, np.abs(error).max() / max(most, _LEAST))
    if not far <= 1:
        return f"is {far * _FACTOR:.1f} times as far off as rounding explains"
    lost = float(_rms(error) / np.maximum(_rms(wanted), _LEAST))
    return f"loses {lost:.0%} of its size to rounding" if lost > most_lost else None


def _rms(array: NDArray[Any], axis: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.mean(np.square(array, dtype=np.float64), axis=axis)))
