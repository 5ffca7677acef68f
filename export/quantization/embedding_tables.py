"""Quantizes embedding tables to int8 rows, each with its own scale.

onnxruntime's method has one scale for the whole table, so its largest weight determines the step for every
word."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from export.onnx.graph import free_name
from export.onnx.stored_tensor import read_array
from export.quantization.layers import LEAST_TABLE_WEIGHTS
from export.rewrites.graph_cleanup import finish

OPERATORS = ("Gather",)


def explain_none(model: Any) -> str:
    """Explain why the graph has no table that is worth quantizing."""
    tables = {item.name: item for item in model.graph.initializer if len(item.dims) == 2}
    read = {node.input[0] for node in model.graph.node if node.op_type in OPERATORS} & tables.keys()
    if not read:
        operators = ", ".join(sorted({node.op_type for node in model.graph.node}))
        return f"found no table of embeddings among {operators}"
    largest = max(sorted(read), key=lambda name: math.prod(tables[name].dims))
    return (
        f"found no table of embeddings with {LEAST_TABLE_WEIGHTS} or more floats; smaller ones save too "
        f"little (the largest, {largest!r}, has {math.prod(tables[largest].dims)})"
    )


def make_tables(model: Any, layers: Collection[str]) -> Any:
    """Change the model in place: the lookups named in `layers` read int8 rows and their scales."""
    constants = {item.name: item for item in model.graph.initializer}
    names = {node.name for node in model.graph.node}
    nodes: list[Any] = []
    # Table -> its integers.
    done: dict[str, str] = {}
    for node in model.graph.node:
        if node.name not in layers or node.op_type != "Gather":
            nodes.append(node)
            continue
        table = node.input[0]
        if table not in done:
            # The same matrix may be the weight of a product, with other scales.
            integers = f"{table}_quantized" if f"{table}_quantized" not in constants else f"{table}_rows"
            done[table] = integers
            model.graph.initializer.extend(_quantize_rows(constants[table], integers))
        nodes.extend(_look_up(node, done[table], names))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return finish(model)


def _quantize_rows(table: Any, name: str) -> list[Any]:
    rows = read_array(table)
    scales = np.abs(rows).max(axis=1, keepdims=True) / np.float32(127)
    integers = np.rint(np.divide(rows, scales, out=np.zeros_like(rows), where=scales != 0)).astype(np.int8)
    return [
        numpy_helper.from_array(integers, name),
        numpy_helper.from_array(scales, f"{table.name}_row_scales"),
    ]


def _look_up(node: Any, integers: str, names: Collection[str]) -> list[Any]:
    made, (table, indices), result = onnx.helper.make_node, node.input, node.output[0]
    row_integers, steps, scale = (f"{result}_row_{ending}" for ending in ("integers", "steps", "scale"))
    cast, scales, scaled = (free_name(f"{node.name}_{word}", names) for word in ("cast", "scales", "scaled"))
    return [
        made("Gather", [integers, indices], [row_integers], node.name, axis=0),
        made("Cast", [row_integers], [steps], cast, to=onnx.TensorProto.FLOAT),
        made("Gather", [f"{table}_row_scales", indices], [scale], scales, axis=0),
        made("Mul", [steps, scale], [result], scaled),
    ]
