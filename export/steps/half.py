"""Converts a graph to 16-bit floats with 32-bit inputs and outputs, for providers that compute faster in
them."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from export.answer_distance import largest_apart
from export.artifacts import Context, Exported, Note
from export.data.datasets import Split
from export.errors import StepFailed, reason_of
from export.onnx.graph import clean, free_name, free_node_name, values_of
from export.onnx.model_proto import check_model, copy_model, fill, infer_shapes, load, make_graph
from export.quantization.calibration import TensorWatch
from export.rewrites.constants import count_numbers, hoist, name_apart
from export.rewrites.graph_cleanup import sort
from export.rewrites.rewrite_check import compare, largest_difference, require_same_interface
from export.rewrites.single_precision import HALF_ROUNDING
from export.rewrites.wiring import read_attribute
from export.step import Half

_LARGEST = 65504
_OVERFLOW_ROWS = 8
# Operators between integers and floats, which stay in 32 bits because their kernels need it.
_INTEGERS = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    *("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"),
)
# Masks use the lowest float, which the converter replaces by -10000.
_NEVER = 1e37


def half(exported: Exported, settings: Half, context: Context) -> Exported:
    """Return the graph with 16-bit weights and activations, and unchanged inputs and outputs.

    Raises StepFailed if no weight changed, or the range of 16 bits is too small for the model."""
    before = hoist(load(exported.graph))
    _refuse_overflow(before, context.data.calibration)
    converted = _convert(before)
    count = count_numbers(converted.graph, onnx.TensorProto.FLOAT16)
    if count == count_numbers(before.graph, onnx.TensorProto.FLOAT16):
        raise StepFailed(
            "half changed no weight: the graph has none in 32-bit floats that an operator could take in 16; "
            "remove the step"
        )
    require_same_interface(before, converted)
    graph = clean(converted)
    pairs = compare(exported.graph, graph, context.data.calibration)
    _prove_close(pairs)
    note: Note = {
        "step": "half",
        "provider": settings.provider,
        "half_weights": count,
        "max_abs_difference": largest_difference(pairs),
    }
    return replace(exported, graph=graph, notes=(*exported.notes, note))


def _convert(model: Any) -> Any:
    """Convert the model to 16 bits. Raises StepFailed if onnxruntime's tool fails."""
    try:
        made = convert_float_to_float16(
            fill(infer_shapes(name_apart(copy_model(model)))),
            keep_io_types=True,
            # It has the shapes, and the tool cannot infer those of more than 2 GiB.
            disable_shape_infer=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_INTEGERS],
        )
        # The tool puts the casts of inputs after the nodes that read them.
        made = _part(sort(made))
        check_model(made, make_graph(made))
    except Exception as error:  # its assertions, and what onnx says of what it made
        names = [
            f"{node.op_type} {node.name or node.output[0]!r}"
            for node in model.graph.node
            if _holds_graph(node)
        ]
        where = f", perhaps because of the graph inside {names[0]}" if names else ""
        raise StepFailed(
            f"onnxruntime's tool cannot write the graph in 16-bit floats{where} ({reason_of(error)}); drop "
            "the step"
        ) from error
    return made


def _part(model: Any) -> Any:
    """The model, changed in place, with a Sum of one between a Transpose that moves the first dimension
    and the products that read it: other programs' onnxruntime (1.31) crashes when it loads some such pairs in
    16 bits; our sessions do not (serve/bundles/graph_session.py)."""
    graph = model.graph
    made = {node.output[0]: node for node in graph.node if node.op_type == "Transpose"}
    parted: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        for place, name in enumerate(node.input if node.op_type == "MatMul" else ()):
            if name not in made or not _moves_first(made[name]):
                continue
            if name not in parted:
                parted[name] = free_name(f"{name}_apart", values_of(graph))
                called = free_node_name(parted[name], graph)
                nodes.append(onnx.helper.make_node("Sum", [name], [parted[name]], called))
            node.input[place] = parted[name]
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _moves_first(node: Any) -> bool:
    """Whether the first dimension of what a Transpose reads is another one behind it."""
    return list(read_attribute(node, "perm", ()))[:1] != [0]


def _holds_graph(node: Any) -> bool:
    return any(item.graphs or item.HasField("g") for item in node.attribute)


def _refuse_overflow(model: Any, split: Split) -> None:
    """Raise StepFailed if a value exceeds the range of 16 bits. Only the float graph shows this, because a
    CPU computes in 32 bits between casts."""
    typed = infer_shapes(model)
    known = {item.name: item.type.tensor_type.elem_type for item in typed.graph.value_info}
    made = [name for node in model.graph.node for name in node.output]
    watch = TensorWatch(model, tuple(name for name in made if known.get(name) == onnx.TensorProto.FLOAT))
    rows = np.arange(min(len(split), _OVERFLOW_ROWS), dtype=np.int64)
    for name, values in watch.look(split.take(rows)).items():
        absolute = np.abs(values)
        largest = float(np.max(absolute, where=absolute < _NEVER, initial=0))
        if largest > _LARGEST:
            raise StepFailed(
                f"the tensor {name!r} reaches {largest:.4g} on calibration rows, and 16-bit floats end at "
                f"{_LARGEST}, so it would become infinite; remove the step"
            )


def _prove_close(pairs: list[tuple[Any, Any]]) -> None:
    for old, new in pairs:
        if not (share := largest_apart(new, old, coarse=True)) <= HALF_ROUNDING:
            raise StepFailed(
                f"in 16-bit floats the answers are up to {share:.2g} of a value away from those before, on "
                f"calibration rows; at most {HALF_ROUNDING:g} can be rounding: remove the step"
            )
