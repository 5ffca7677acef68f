"""Centres and scales the channels that a linear layer reads, and compensates for it in the weights.

After a normalization, a few channels are far larger than the others (SmoothQuant, Xiao et al., 2022): with
one range for all, the others use few of the 256 steps."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.onnx.graph import free_node_name
from export.onnx.stored_tensor import read_array
from export.rewrites.wiring import Linear, Wiring, find_linears, insert_before, read_attribute

# Tensor -> lowest and highest value of every channel.
Extents = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
# Lower bounds that avoid a division by 0 for a constant channel or a zero weight.
_LEAST_RANGE, _LEAST_WEIGHT = 1e-4, 1e-5


def find_smoothable(model: Any) -> tuple[str, ...]:
    """Return the normalized values that linear layers read."""
    wiring = Wiring(model)
    read = {linear.product.input[0] for linear in find_linears(wiring)}
    return tuple(
        node.output[0]
        for node in model.graph.node
        if node.op_type == "LayerNormalization"
        and node.output[0] in read - wiring.outputs
        and all(node.output[0] in reader.input for reader in wiring.readers(node.output[0]))
        and read_attribute(node, "axis", -1) == -1
        and all(name in wiring.constants for name in node.input[1:])
    )


def smooth(model: Any, extents: Extents, strength: float) -> int:
    """Write each normalized value x as y * scale + centre, in place, without changing the function of the
    graph.

    The normalization computes y, and its linear layers absorb scale and centre into their weights and biases.
    Other readers of x get y * scale, and the centre through the bias of the value that it is added to.

    Args:
        model: the float model
        extents: lowest and highest value of each channel, [channels] each, by tensor
        strength: exponent from 0 (no smoothing) to 1 (equal channels), as in SmoothQuant

    Returns:
        The number of smoothed values.
    """
    for name, extent in extents.items():
        wiring = Wiring(model)
        linears = [linear for linear in find_linears(wiring) if linear.product.input[0] == name]
        weights = [wiring.array(linear.weight) for linear in linears]
        scale, centre = _choose(extent, [item for item in weights if item is not None], strength)
        if any(linear.addition is None for linear in linears):
            centre = np.zeros_like(centre)
        for linear in linears:
            _take_in(wiring, linear, scale, centre)
        norm = wiring.makers[name]
        for index, change in ((1, 0.0), (2, centre)):
            if index < len(norm.input):
                wiring.set_constant(norm, index, (_array(wiring, norm.input[index]) - change) / scale)
        if len(norm.input) < 3:
            norm.input.append(wiring.add_constant(f"{name}_shift", (-centre / scale).astype(np.float32)))
        products = {linear.product.output[0] for linear in linears}
        _give_back(
            wiring, name, [n for n in wiring.readers(name) if n.output[0] not in products], scale, centre
        )
    return len(extents)


def _choose(
    extent: tuple[NDArray[np.float32], NDArray[np.float32]],
    weights: list[NDArray[np.float32]],
    strength: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = (item.astype(np.float64) for item in extent)
    radius = np.maximum((high - low) / 2, _LEAST_RANGE)
    largest = np.maximum(np.max([np.abs(item).max(axis=1) for item in weights], axis=0), _LEAST_WEIGHT)
    scale = radius**strength / largest ** (1 - strength)
    # Only the ratios matter; around 1, floats are most precise.
    return scale / np.exp(np.log(scale).mean()), (low + high) / 2


def _take_in(wiring: Wiring, linear: Linear, scale: NDArray[np.float64], centre: NDArray[np.float64]) -> None:
    weight = _array(wiring, linear.weight)
    if linear.addition is not None:
        _add_to_bias(wiring, linear, centre @ weight)
    wiring.set_constant(linear.product, 1, weight * scale[:, None])


def _add_to_bias(wiring: Wiring, linear: Linear, change: NDArray[np.float64]) -> None:
    index = linear.bias_index(wiring)
    wiring.set_constant(linear.addition, index, _array(wiring, linear.addition.input[index]) + change)


def _give_back(
    wiring: Wiring,
    name: str,
    readers: Iterable[Any],
    scale: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> None:
    """Restore the original values for the readers that are not linear layers."""
    readers = list(readers)
    if not readers:
        return
    scaled, whole = f"{name}_scaled", f"{name}_whole"
    factor = wiring.add_constant(f"{name}_channel_scale", scale.astype(np.float32))
    names = [free_node_name(item, wiring.model.graph) for item in (scaled, whole)]
    nodes = [onnx.helper.make_node("Mul", [name, factor], [scaled], names[0])]
    linears = {linear.output: linear for linear in find_linears(wiring) if linear.addition is not None}
    for reader in readers:
        others = [item for item in reader.input if item != name]
        skipped = reader.op_type in ("Add", "Sum") and len(reader.input) == 2 and len(others) == 1
        if skipped and others[0] in linears and wiring.only_reader(others[0]) is not None:
            _add_to_bias(wiring, linears[others[0]], centre)
            source = scaled
        else:
            source = whole
        for index, item in enumerate(reader.input):
            if item == name:
                reader.input[index] = source
    if any(whole in reader.input for reader in readers):
        shift = wiring.add_constant(f"{name}_channel_centre", centre.astype(np.float32))
        nodes.append(onnx.helper.make_node("Add", [scaled, shift], [whole], names[1]))
    first = next(node for node in wiring.model.graph.node if {scaled, whole} & set(node.input))
    insert_before(wiring.model, first, nodes)


def _array(wiring: Wiring, name: str) -> NDArray[np.float64]:
    array: NDArray[np.float64] = read_array(wiring.constants[name]).astype(np.float64)
    return array
