"""Weight-only quantization: integers in the file and in memory, which onnxruntime multiplies in blocks."""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.onnx.model_proto import copy_model
from export.onnx.stored_tensor import read_array
from export.rewrites.graph_cleanup import DOMAIN, finish

OPERATORS = ("MatMul",)
# Weights of one column that share a scale: the operator's usual block size.
_BLOCK = 32
# Lets the operator round its input to 8 bits, block by block; otherwise it dequantizes the weights.
_ACCURACY_LEVEL = 4


def make_weights(model: Any, layers: Collection[str], bits: int) -> Any:
    """Return a copy of the prepared model, with split Gemms, in which the nodes named in `layers` have
    weights with this number of bits.

    onnxruntime's own MatMulNBitsQuantizer does the same, but configures the process's logging."""
    made = copy_model(model)
    constants = {item.name: item for item in made.graph.initializer}
    packed: set[str] = set()
    for node in made.graph.node:
        if node.name in layers and node.op_type == "MatMul":
            weight = node.input[1]
            rows, columns = constants[weight].dims
            names = [f"{weight}_blocks", f"{weight}_scales"]
            if weight not in packed:
                arrays = _pack(read_array(constants[weight]), bits)
                made.graph.initializer.extend(map(numpy_helper.from_array, arrays, names))
                packed.add(weight)
            _replace(node, names, {"K": rows, "N": columns, "bits": bits})
    return finish(made)


def _pack(weight: NDArray[np.float32], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pack [rows, columns] as unsigned integers [columns, blocks, bytes] around the middle of their range,
    with their scales [columns, blocks]."""
    middle = 2 ** (bits - 1)
    blocks = -(-weight.shape[0] // _BLOCK)
    padded = np.pad(weight, ((0, blocks * _BLOCK - weight.shape[0]), (0, 0)))
    values = padded.T.reshape(weight.shape[1], blocks, _BLOCK)
    # The value farthest from 0 becomes the lowest integer, because the range has one more integer below the
    # middle.
    farthest = np.take_along_axis(values, np.abs(values).argmax(axis=2, keepdims=True), axis=2)
    scales = farthest / -middle
    steps = np.divide(values, scales, out=np.zeros_like(values), where=scales != 0)
    integers = (np.clip(np.rint(steps), -middle, middle - 1) + middle).astype(np.uint8)
    if bits == 4:
        integers = integers[:, :, 0::2] | (integers[:, :, 1::2] << 4)
    return integers, scales[:, :, 0].astype(np.float32)


def _replace(node: Any, weights: list[str], attributes: dict[str, int]) -> None:
    attributes |= {"block_size": _BLOCK, "accuracy_level": _ACCURACY_LEVEL}
    node.CopyFrom(
        onnx.helper.make_node(
            "MatMulNBits", [node.input[0], *weights], node.output, node.name, domain=DOMAIN, **attributes
        )
    )
