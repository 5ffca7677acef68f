"""Prepares a float graph for quantization."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from export.onnx.graph import free_name, free_node_name
from export.onnx.model_proto import infer_shapes, load, make_graph
from export.onnx.stored_tensor import read_array
from export.quantization.added_names import separate
from export.quantization.calibration import TensorWatch
from export.rewrites.graph_cleanup import finish
from export.rewrites.optimized_graph import optimize
from export.rewrites.wiring import Wiring, read_attribute
from serve.bundles.onnx_graph import Graph

_FLOATS = {
    "tensor(float)": onnx.TensorProto.FLOAT,
    "tensor(double)": onnx.TensorProto.DOUBLE,
    "tensor(float16)": onnx.TensorProto.FLOAT16,
}
# Endings that onnxruntime adds to the names of nodes.
_ADDED = ("_QuantizeLinear", "_DequantizeLinear", "_quant", "_dequant")
# Added to the name of a weight that split_gemms transposed.
TRANSPOSED = "_transposed"


def prepare(graph: Graph) -> Graph:
    """Return the graph with folded constants, a type for every value, a unique name for every node, and Gemms
    that only multiply and add."""
    optimized = optimize(graph)
    model = infer_shapes(load(optimized))
    _name_nodes(model.graph)
    return make_graph(_simplify_gemms(_name_types(separate(model))))


def _name_nodes(graph: Any) -> None:
    """Give every node a unique name that does not collide with those that onnxruntime adds, in place."""
    counts = Counter(node.name for node in graph.node)
    for number, node in enumerate(graph.node):
        name = node.name
        if not name or counts[name] > 1:
            name = f"{node.op_type}_{number}_of_{node.output[0]}"
        if name.endswith(_ADDED):
            name += f".{number}"
        if name != node.name:
            node.name = free_name(name, counts)
            counts[node.name] += 1


def _name_types(model: Any) -> Any:
    """Change the model in place: declare the type of every float; onnxruntime infers those that onnx cannot
    (after operators of other domains).

    onnxruntime's tools leave values without a type in float."""
    known = {item.name for item in (*model.graph.value_info, *model.graph.output)}
    missing = [name for node in model.graph.node for name in node.output if name and name not in known]
    if missing:
        for item in TensorWatch(model, tuple(missing)).outputs():
            if item.type in _FLOATS:
                made = onnx.helper.make_tensor_value_info(item.name, _FLOATS[item.type], item.shape or None)
                model.graph.value_info.append(made)
    return model


def _simplify_gemms(model: Any) -> Any:
    """Change the model in place: Gemms with a constant weight get alpha and beta folded into their constants,
    and one bias per column or none.

    onnxruntime's tools ignore both factors, and assume that a bias is one per column."""
    wiring = Wiring(model)
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Gemm" and node.input[1] in wiring.constants:
            nodes.extend(_simplify(wiring, node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return finish(model)


def _simplify(wiring: Wiring, node: Any) -> list[Any]:
    """Return what must follow the Gemm: nothing, or the addition of a bias that is not one per column."""
    alpha, beta = (read_attribute(node, name, 1.0) for name in ("alpha", "beta"))
    kept = [item for item in node.attribute if item.name not in ("alpha", "beta")]
    del node.attribute[:]
    node.attribute.extend(kept)
    weight = wiring.array(node.input[1])
    assert weight is not None
    if alpha != 1:
        wiring.set_constant(node, 1, weight * weight.dtype.type(alpha))
    if len(node.input) < 3 or not node.input[2] or beta == 0:
        del node.input[2:]
        return []
    columns = weight.shape[0 if read_attribute(node, "transB") else 1]
    bias = wiring.array(node.input[2])
    # No range can hold a bias that masks columns; onnxruntime has moved it here from an Add.
    if (
        bias is not None
        and np.isfinite(bias).all()
        and bias.size in (1, columns)
        and bias.shape[-1:] in ((), (1,), (columns,))
    ):
        row = np.broadcast_to(bias.reshape(-1) * bias.dtype.type(beta), columns)
        if beta != 1 or bias.shape != row.shape:
            wiring.set_constant(node, 2, row)
        return []
    return _add_after(wiring, node, beta)


def _add_after(wiring: Wiring, node: Any, beta: float) -> list[Any]:
    added, output, graph = node.input[2], node.output[0], wiring.model.graph
    made = onnx.helper.make_node
    del node.input[2:]
    node.output[0] = f"{output}_without_bias"
    graph.value_info.append(_like_output(wiring.model, output, node.output[0]))
    nodes = []
    if beta != 1:
        kind = _known(wiring.model, output).type.tensor_type.elem_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
        factor = wiring.add_constant(f"{output}_beta", np.array(beta, dtype))
        name = free_node_name(f"{node.name}_beta", graph)
        nodes.append(made("Mul", [added, factor], [f"{output}_bias"], name))
        added = f"{output}_bias"
        # It may be smaller than the output.
        graph.value_info.append(onnx.helper.make_tensor_value_info(added, kind, None))
    name = free_node_name(f"{node.name}_bias", graph)
    return [*nodes, made("Add", [node.output[0], added], [output], name)]


def split_gemms(model: Any) -> Any:
    """Change the prepared model in place: every Gemm becomes a MatMul, and an Add if it has a bias.

    MatMul has a form that quantizes its input at run time, and Gemm has none."""
    constants = {item.name: item for item in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Gemm" or read_attribute(node, "transA") or node.input[1] not in constants:
            nodes.append(node)
        else:
            nodes.extend(_split(node, model, constants, bool(read_attribute(node, "transB"))))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return finish(model)


def _split(node: Any, model: Any, constants: dict[str, Any], transposed: bool) -> list[Any]:
    weight = node.input[1]
    if transposed:
        # The transposed weight gets a new name, because other nodes may read the old one.
        name = f"{weight}{TRANSPOSED}"
        if name not in constants:
            array = read_array(constants[weight]).T
            constants[name] = numpy_helper.from_array(array.copy(), name)
            model.graph.initializer.append(constants[name])
        weight = name
    if len(node.input) < 3 or not node.input[2]:
        return [onnx.helper.make_node("MatMul", [node.input[0], weight], node.output, node.name)]
    product = f"{node.output[0]}_without_bias"
    model.graph.value_info.append(_like_output(model, node.output[0], product))
    bias = free_node_name(f"{node.name}_bias", model.graph)
    return [
        onnx.helper.make_node("MatMul", [node.input[0], weight], [product], node.name),
        onnx.helper.make_node("Add", [product, node.input[2]], node.output, bias),
    ]


def _like_output(model: Any, output: str, name: str) -> Any:
    info = onnx.ValueInfoProto()
    info.CopyFrom(_known(model, output))
    info.name = name
    return info


def _known(model: Any, name: str) -> Any:
    return next(item for item in (*model.graph.value_info, *model.graph.output) if item.name == name)
