"""Rounding: how far 8 bits (or 4) may move the weights and the inputs of a layer, by the recipe and the float
graph alone. Nothing here reads a quantized graph, so that one can be held against it."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from export.quantization.cut import FRESH
from export.quantization.layers import WEIGHTS, Layer
from export.rewrites.wiring import read_attribute
from export.step import Quantize
from serve.base.tensor import Arrays

Floats = NDArray[Any]
Signs = np.random.Generator | None
Limits = tuple[float, float]
Ranges = Mapping[str, Limits]
# Of a step: the standard deviation of values that lie anywhere within one.
_SPREAD = 12**-0.5
UNLIMITED = (-np.inf, np.inf)
_INPUT_STEPS = 255
# Operator -> the dimensions of a weight over which one scale reaches, where each channel has its own.
_SHARED = {"Conv": None, "MatMul": (0,), "LSTM": (2,), "Gather": (1,)}
# Weights of one column that share a scale, where the method is `weights`.
_BLOCK = 32


def move(array: Floats, step: Floats | float, signs: Signs, limits: Limits = UNLIMITED) -> Floats:
    """Each value as rounding moves it, and no less than it does on average: none is exact by luck but 0,
    which always is. With `signs` all go as far as the average, up or down by chance. What lies beyond the
    limits is cut off. `step`, between two integers, is one number, or fits the array."""
    inside = np.clip(array, *limits)
    divisor = np.where(np.asarray(step) > 0, step, 1)
    least = np.broadcast_to(np.asarray(step) * _SPREAD, array.shape)
    if signs is None:
        way = np.rint(inside / divisor) * divisor - array
        way = np.where(np.abs(way) < least, np.copysign(least, way), way)
    else:
        way = inside - array + least * signs.choice([-1.0, 1.0], array.shape)
    return np.where(array == 0, 0, array + way).astype(np.float32)


def step_of(low: float, high: float) -> float:
    """Between two integers of 8 bits that hold 0 and this range."""
    return (max(high, 0.0) - min(low, 0.0)) / _INPUT_STEPS


def move_inputs(values: Arrays, free: Mapping[str, str], ranges: Ranges, signs: Signs) -> Arrays:
    """The values, those among them that become integers moved: over their ranges, or, where an operator (the
    value -> its name, in `free`) finds the range as it comes, over that."""
    moved = dict(values)
    for name in sorted(ranges.keys() & values.keys()):
        moved[name] = move(values[name], step_of(*ranges[name]), signs, ranges[name])
    for name, operator in free.items():
        array = values[name]
        if operator == "LSTM":
            moved[name] = move(array, step_of(float(array.min()), float(array.max())), signs)
        else:
            moved[name] = move(array, 2 * np.abs(array).max(axis=-1, keepdims=True) / _INPUT_STEPS, signs)
    return moved


def move_weights(model: Any, layers: Iterable[Layer], settings: Quantize, signs: Signs) -> Any:
    """A copy of the float model in which these layers read weights that rounding has moved, each its own."""
    made = type(model)()
    made.CopyFrom(model)
    constants = {item.name: item for item in model.graph.initializer}
    known = {layer.node: layer for layer in layers}
    for node in made.graph.node:
        if node.name not in known:
            continue
        for index in WEIGHTS[node.op_type]:
            array = numpy_helper.to_array(constants[node.input[index]])
            node.input[index] += f"{FRESH}of {node.name}"
            moved = _move_weight(array, node, settings, signs)
            made.graph.initializer.append(numpy_helper.from_array(moved, node.input[index]))
    return made


def _move_weight(array: Floats, node: Any, settings: Quantize, signs: Signs) -> Floats:
    if settings.method == "weights" and node.op_type == "MatMul":
        return _move_blocks(array, settings.bits, signs)
    axes: tuple[int, ...] | None = _SHARED.get(node.op_type)
    if node.op_type == "Conv":
        axes = tuple(range(1, array.ndim))
    elif node.op_type == "Gemm":
        axes = (1,) if read_attribute(node, "transB") else (0,)
    if not settings.per_channel and node.op_type != "Gather":
        axes = (1, 2) if node.op_type == "LSTM" else None
    most = 63 if settings.reduce_range and node.op_type != "Gather" else 127
    return move(array, np.abs(array).max(axis=axes, keepdims=True) / most, signs)


def _move_blocks(array: Floats, bits: int, signs: Signs) -> Floats:
    rows, columns = array.shape
    blocks = -(-rows // _BLOCK)
    padded = np.pad(array, ((0, blocks * _BLOCK - rows), (0, 0))).reshape(blocks, _BLOCK, columns)
    moved = move(padded, np.abs(padded).max(axis=1, keepdims=True) / 2 ** (bits - 1), signs)
    return moved.reshape(-1, columns)[:rows]
