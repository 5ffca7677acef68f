"""Prepare: a float graph as quantization needs it."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper
from onnxruntime.quantization import quant_pre_process

from export.rewrites.finish import finish

# Added to the name of a weight that split_gemms transposed.
TRANSPOSED = "_transposed"


def prepare(graph: bytes) -> Any:
    """The graph with constants folded, with a type for every value and a name of its own for every node."""
    with tempfile.TemporaryDirectory(prefix="counterweight-") as name:
        folder = Path(name)
        (folder / "float.onnx").write_bytes(graph)
        # Its symbolic shapes would name sizes; types are enough, and onnxruntime knows those.
        quant_pre_process(folder / "float.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
        model = onnx.load(folder / "prepared.onnx")
    counts = Counter(node.name for node in model.graph.node)
    for number, node in enumerate(model.graph.node):
        if not node.name or counts[node.name] > 1:
            node.name = f"{node.op_type}_{number}_of_{node.output[0]}"
    return model


def split_gemms(model: Any) -> Any:
    """The model, changed in place: every plain Gemm as a MatMul, and an Add where it has a bias: these have
    forms that quantize their input as it comes, and Gemm has none."""
    constants = {item.name: item for item in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0
        if node.op_type != "Gemm" or attributes.get("transA") or not plain or node.input[1] not in constants:
            nodes.append(node)
        else:
            nodes.extend(_split(node, model, constants, bool(attributes.get("transB"))))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return finish(model)


def _split(node: Any, model: Any, constants: dict[str, Any], transposed: bool) -> list[Any]:
    weight = node.input[1]
    if transposed:
        # Under a new name, as others may read the old.
        name = f"{weight}{TRANSPOSED}"
        if name not in constants:
            array = numpy_helper.to_array(constants[weight]).T
            constants[name] = numpy_helper.from_array(array.copy(), name)
            model.graph.initializer.append(constants[name])
        weight = name
    if len(node.input) < 3 or not node.input[2]:
        return [onnx.helper.make_node("MatMul", [node.input[0], weight], node.output, node.name)]
    product = f"{node.output[0]}_without_bias"
    model.graph.value_info.append(_like_output(model, node.output[0], product))
    return [
        onnx.helper.make_node("MatMul", [node.input[0], weight], [product], node.name),
        onnx.helper.make_node("Add", [product, node.input[2]], node.output, f"{node.name}_bias"),
    ]


def _like_output(model: Any, output: str, name: str) -> Any:
    known = {item.name: item for item in (*model.graph.value_info, *model.graph.output)}
    info = onnx.ValueInfoProto()
    info.CopyFrom(known[output])
    info.name = name
    return info
