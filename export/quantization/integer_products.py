"""Computes products with constant matrices in integers, including the bias, with a float result.

onnxruntime's tools write four standard operators for a product, which the runtime fuses when it loads the
file, not always including the bias. Here the fused operator is written directly, and the shared input of
several products (query, key, value) is quantized once.

Without ranges, each position gets its own. onnxruntime's DynamicQuantizeLinear uses one range for the whole
batch, so the numbers in one request would affect how coarsely those of another are rounded."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.onnx.graph import free_name
from export.onnx.stored_tensor import read_array
from export.rewrites.graph_cleanup import DOMAIN, finish
from export.rewrites.wiring import Linear, Wiring, find_linears
from export.step import Quantize

Ranges = Mapping[str, tuple[float, float]]
# The smallest divisor, because a position may be all zeros.
_LEAST = np.array(np.finfo(np.float32).tiny, np.float32)
# The first opset in which ReduceMax takes its axes as an input.
_AXES_AS_INPUT = 18


def make_products(model: Any, layers: Collection[str], settings: Quantize, ranges: Ranges | None) -> Any:
    """Change the model in place: the products named in `layers` get integer weights, and their inputs are
    quantized with these ranges; None: with the range of each position (the last dimension) at run time."""
    wiring = Wiring(model)
    linears = {item.product.name: item for item in find_linears(wiring) if item.product.name in layers}
    absorbed: set[str] = set()
    if ranges is not None:
        absorbed = {item.addition.name for item in linears.values() if item.addition is not None}
    rewriter = _Rewriter(wiring, settings, ranges)
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.name in linears:
            nodes.extend(rewriter.multiply(linears[node.name]))
        elif node.name not in absorbed:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return finish(model)


class _Rewriter:
    """The graph while its products are replaced one after the other."""

    def __init__(self, wiring: Wiring, settings: Quantize, ranges: Ranges | None) -> None:
        self._wiring = wiring
        self._settings = settings
        self._ranges = ranges
        self._opset = next(
            item.version for item in wiring.model.opset_import if item.domain in ("", "ai.onnx")
        )
        # Quantized activations, with the names of their integers, scale and zero point.
        self._quantized: dict[str, list[str]] = {}
        self._taken = {node.name for node in wiring.model.graph.node}

    def multiply(self, linear: Linear) -> list[Any]:
        activation, weight = linear.product.input
        integers, scale, zero = (f"{weight}_{suffix}" for suffix in ("quantized", "scale", "zero_point"))
        if integers not in self._wiring.constants:
            axis = 0 if self._settings.per_channel else None
            array = read_array(self._wiring.constants[weight])
            values = quantize_weight(array, axis, self._settings)
            for name, value in zip((integers, scale, zero), values, strict=True):
                self._wiring.add_constant(name, value)
        nodes = [] if activation in self._quantized else self._quantize(activation)
        parts = self._quantized[activation]
        inputs, name = [parts[0], integers, parts[1], scale, parts[2], zero], linear.product.name
        if self._ranges is not None:
            bias = "" if linear.addition is None else linear.addition.input[linear.bias_index(self._wiring)]
            return [*nodes, _product([*inputs, bias], linear.output, name)]
        output = linear.product.output[0]
        scaled = [f"{output}_unscaled", f"{activation}_limit"]
        return [
            *nodes,
            _product(inputs, scaled[0], name),
            onnx.helper.make_node("Mul", scaled, [output], free_name(f"{name}_scaled", self._taken)),
        ]

    def _quantize(self, activation: str) -> list[Any]:
        parts = [f"{activation}_{suffix}" for suffix in ("integers", "scale", "zero_point")]
        self._quantized[activation] = parts
        nodes: list[Any] = []
        source, low, high = f"{activation}_shares", -1.0, 1.0
        if self._ranges is None:
            nodes = self._divide(activation, source)
        else:
            source, low, high = self._find_range(activation, self._ranges)
        for part, value in zip(parts[1:], choose_steps(low, high, self._settings.activations), strict=True):
            self._wiring.add_constant(part, value)
        name = free_name(f"{activation}_quantize", self._taken)
        return [*nodes, onnx.helper.make_node("QuantizeLinear", [source, *parts[1:]], parts[:1], name)]

    def _divide(self, activation: str, shares: str) -> list[Any]:
        """Divide each position by its largest absolute value, so that it spans -1 to 1."""
        absolute, largest, limit, least, axes = (
            f"{activation}_{suffix}" for suffix in ("absolute", "largest", "limit", "least", "last_axis")
        )
        made = onnx.helper.make_node
        names = [f"{activation}_{verb}" for verb in ("abs", "reduce", "max", "divide")]
        names = [free_name(name, self._taken) for name in names]
        self._wiring.add_constant(least, _LEAST)
        if self._opset < _AXES_AS_INPUT:
            reduce = made("ReduceMax", [absolute], [largest], names[1], axes=[-1], keepdims=1)
        else:
            self._wiring.add_constant(axes, np.array([-1], np.int64))
            reduce = made("ReduceMax", [absolute, axes], [largest], names[1], keepdims=1)
        return [
            made("Abs", [activation], [absolute], names[0]),
            reduce,
            made("Max", [largest, least], [limit], names[2]),
            made("Div", [activation, limit], [shares], names[3]),
        ]

    def _find_range(self, activation: str, ranges: Ranges) -> tuple[str, float, float]:
        """Return the value to quantize and its range. If a Clip limited an outlier, the range ends where the
        Clip did."""
        low, high = ranges[activation]
        clip = self._wiring.makers.get(activation)
        if clip is not None and clip.op_type == "Clip" and len(clip.input) == 3 and not clip.input[1]:
            limit = self._wiring.array(clip.input[2])
            if limit is not None:
                return str(clip.input[0]), low, float(limit.item())
        return activation, low, high


def _product(inputs: list[str], output: str, name: str) -> Any:
    return onnx.helper.make_node("MatMulIntegerToFloat", inputs, [output], name, domain=DOMAIN)


def choose_steps(low: float, high: float, kind: str) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return the scale and zero point of 8-bit integers that represent a range and 0.

    Args:
        low: lowest value of the range
        high: highest value of the range
        kind: numpy's 8-bit integer type

    Returns:
        The scale (float32, in the units of the range per step) and the zero point (an integer of this type).
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.array((high - low) / 255 if high > low else 1.0, np.float32)
    zero = np.clip(np.rint(-low / float(scale)), 0, 255)
    return scale, np.array(zero - 128, np.int8) if kind == "int8" else np.array(zero, np.uint8)


def quantize_weight(
    weight: NDArray[np.float32], axis: int | tuple[int, ...] | None, settings: Quantize
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[Any]]:
    """Quantize a weight symmetrically.

    Unsigned integers are the signed ones shifted by 128, so that no kernel has to add signed to unsigned
    products, which overflow on processors without VNNI.

    Args:
        weight: the float weight
        axis: axis or axes along which one scale is shared; None: one scale for the whole weight
        settings: the settings of the quantize step: integer type and reduced range

    Returns:
        The integers, their scales, and their zero point.
    """
    most = 63 if settings.reduce_range else 127
    limits = np.abs(weight).max(axis=axis, keepdims=True)
    scales = (limits / most).astype(np.float32)
    steps = np.rint(np.divide(weight, scales, out=np.zeros_like(weight), where=scales != 0))
    flat = scales.squeeze(axis) if axis is not None else scales.reshape(())
    if settings.weights == "uint8":
        return (steps + 128).astype(np.uint8), flat, np.array(128, np.uint8)
    return steps.astype(np.int8), flat, np.array(0, np.int8)
