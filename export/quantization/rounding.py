"""Bounds how far quantization may move the weights and inputs of a layer, from the recipe and the float graph
alone.

Nothing here reads a quantized graph, so that a quantized graph can be tested against these bounds."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from export.onnx.model_proto import copy_model
from export.onnx.stored_tensor import read_array
from export.quantization.graph_cut import FRESH
from export.quantization.layers import WEIGHTS, Layer
from export.rewrites.wiring import read_attribute
from export.step import Quantize
from serve.base.tensor import Arrays

Floats = NDArray[Any]
Signs = np.random.Generator | None
Limits = tuple[float, float]
Ranges = Mapping[str, Limits]
# Standard deviation of a uniform rounding error, in steps.
_SPREAD = 12**-0.5
UNLIMITED = (-np.inf, np.inf)
_INPUT_STEPS = 255
# Operator -> dimensions of a weight that share one scale, if each channel has its own.
_SHARED = {"Conv": None, "MatMul": (0,), "LSTM": (2,), "Gather": (1,)}
# Weights of one column that share a scale with `method: weights`.
_BLOCK = 32


def move(array: Floats, step: Floats | float, signs: Signs, limits: Limits = UNLIMITED) -> Floats:
    """Move each value as rounding does, and by at least the average amount, so that no value is exact by
    chance; 0 stays exact.

    Args:
        array: the values
        step: distance between two integers, in the units of the values: one number, or an array that
            broadcasts to `array`
        signs: a random generator; every value then moves by the average amount, up or down at random
        limits: values beyond these limits are clipped
    """
    # In 32 bits, as there may be many values.
    steps = np.asarray(step, np.float32)
    inside = np.clip(array, np.float32(limits[0]), np.float32(limits[1]))
    least = np.broadcast_to(steps * np.float32(_SPREAD), array.shape)
    if signs is None:
        divisor = np.where(steps > 0, steps, np.float32(1))
        way = np.rint(inside / divisor) * divisor - array
        way = np.where(np.abs(way) < least, np.copysign(least, way), way)
    else:
        up = signs.integers(0, 2, array.shape, np.int8).astype(np.bool_)
        way = inside - array + np.where(up, least, -least)
    return np.where(array == 0, 0, array + way).astype(np.float32)


def step_of(low: float, high: float) -> float:
    """Return the step of 8-bit integers that represent 0 and this range."""
    return (max(high, 0.0) - min(low, 0.0)) / _INPUT_STEPS


def move_inputs(values: Arrays, free: Mapping[str, str], ranges: Ranges, signs: Signs) -> Arrays:
    """Return the values after rounding those that become integers, with the given ranges, or, for inputs of
    an operator in `free` (value -> its name), with the range of the values themselves."""
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
    """Return a copy of the float model in which each of these layers reads its own rounded weights."""
    made = copy_model(model)
    constants = {item.name: item for item in model.graph.initializer}
    known = {layer.node: layer for layer in layers}
    for node in made.graph.node:
        if node.name not in known:
            continue
        for index in WEIGHTS[node.op_type]:
            array = read_array(constants[node.input[index]])
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
