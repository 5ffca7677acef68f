"""Dynamic quantization: integer weights, and activation ranges found at run time."""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx

from export.onnx.model_proto import copy_model
from export.onnx.stored_tensor import read_array
from export.quantization.integer_products import make_products, quantize_weight
from export.rewrites.graph_cleanup import DOMAIN
from export.rewrites.wiring import Wiring
from export.step import Quantize

# Convolutions are excluded: onnxruntime has no fast kernel for dynamically quantized ones.
OPERATORS = ("MatMul", "LSTM")


def make_dynamic(model: Any, layers: Collection[str], settings: Quantize) -> Any:
    """Return a copy of the prepared model, with split Gemms, in which the nodes named in `layers` have
    integer weights."""
    made = copy_model(model)
    wiring = Wiring(made)
    for node in made.graph.node:
        if node.op_type == "LSTM" and node.name in layers:
            node.CopyFrom(_make_lstm(wiring, node, settings))
    return make_products(made, layers, settings, None)


def _make_lstm(wiring: Wiring, node: Any, settings: Quantize) -> Any:
    """[directions, 4 * hidden, inputs] is stored as [directions, inputs, 4 * hidden]; always int8."""
    parameters: list[str] = []
    for weight in node.input[1:3]:
        array = read_array(wiring.constants[weight]).transpose(0, 2, 1)
        axis = 1 if settings.per_channel else (1, 2)
        integers, scale, _ = quantize_weight(array, axis, settings.model_copy(update={"weights": "int8"}))
        values = {"quantized": integers, "scale": scale, "zero_point": np.zeros(scale.shape, np.int8)}
        for name, value in values.items():
            parameters.append(f"{weight}_{name}")
            if parameters[-1] not in wiring.constants:
                wiring.add_constant(parameters[-1], value)
    inputs = [*node.input, *[""] * (8 - len(node.input))]
    inputs[1], inputs[2] = parameters[0], parameters[3]
    inputs += [parameters[1], parameters[2], parameters[4], parameters[5]]
    made = onnx.helper.make_node("DynamicQuantizeLSTM", inputs, node.output, node.name, domain=DOMAIN)
    made.attribute.extend(item for item in node.attribute if item.name != "layout")
    return made
