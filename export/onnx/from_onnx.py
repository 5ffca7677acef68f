"""From ONNX: a graph that came as a file, with the recipe's outputs and a batch of any size."""

from collections.abc import Mapping
from typing import Any

import onnx
from pydantic import JsonValue

from export.artifacts import Exported
from export.data.datasets import Split
from export.errors import ExportFailed
from export.onnx.graph import clean
from export.onnx.model_proto import copy_model, load
from export.repair.boundary_operators import turn, widen
from export.repair.brain_floats import widen_brain_floats
from export.repair.input_axes import Shape, read_dtype, read_shape
from export.repair.node_names import name_nodes
from export.repair.opset import lower_format, raise_opset
from export.repair.output_dimensions import read_sizes
from export.repair.output_names import select_outputs
from export.repair.row_axis import Batch, find_batch
from export.repair.row_loop import loop_rows, shares_range
from export.repair.value_types import add_types
from serve.base.tensor import Signature, TensorSpec, datatype_of
from serve.bundles.onnx_graph import Graph

# The names on the wire, in order; or each with its name in the file.
Outputs = tuple[str, ...] | Mapping[str, str]
_LOOPED = "the graph put into a loop over the rows (Scan), in which it stays as it is, because {}"


def from_onnx(graph: Graph, rows: Split, outputs: Outputs) -> Exported:
    """The part of the graph that makes these outputs, in their order, rows first, tried on real `rows` in
    batches of several sizes. What had to be changed for that is noted, and proven to answer as the file does.

    Raises ExportFailed when it takes other inputs, or answers no batch of any size."""
    model = load(graph)
    requested = outputs if isinstance(outputs, Mapping) else {name: name for name in outputs}
    changes = lower_format(model)
    changes += select_outputs(model.graph, requested, rows.inputs)
    # Sizes in the middle that the file names in its own way.
    del model.graph.value_info[:]
    changes += name_nodes(model.graph) + widen(model.graph) + widen_brain_floats(model)
    file = copy_model(model)
    model, raised = raise_opset(model)
    changes += [raised] if raised else []
    (trial, forms, difference), freed = _free_rows(model, file, rows, raised=raised is not None)
    changes += freed
    declared = {item.name: _to_front(read_shape(item), trial.axes[item.name]) for item in file.graph.output}
    dims = {name: form.dims for name, form in forms.items()}
    sizes = read_sizes(trial, dims, declared)
    shapes = {**dims, **sizes}
    ranks = {name: len(shape) for name, shape in shapes.items()}
    changes += turn(trial.model.graph, {name: form.axis for name, form in forms.items()}, trial.axes, ranks)
    _declare(trial.model.graph, shapes)
    add_types(trial.model, trial.runs[0][0])
    note: dict[str, JsonValue] = {"step": "mend", "changes": [*changes]}
    if difference is not None:
        note["max_difference"] = difference
    return Exported(
        graph=clean(trial.model),
        signature=_read_signature(trial.model.graph),
        parity=None,
        notes=(note,) if changes else (),
    )


def _free_rows(model: Any, file: Any, rows: Split, *, raised: bool) -> tuple[Batch, list[str]]:
    """Return the model for any number of rows, and what was changed for that. Raises ExportFailed."""
    if shares_range(model.graph):
        return loop_rows(model, rows, None), [_LOOPED.format("it is quantized with one range for all rows")]
    try:
        batch = find_batch(model, file, rows, changed=raised)
    except ExportFailed as error:
        original, _ = raise_opset(copy_model(file))
        return loop_rows(original, rows, error), [_LOOPED.format("it takes one row at a time")]
    fixed = sorted({form.fixed for form in batch[1].values() if form.fixed is not None})
    return batch, [f"a batch fixed to {number} freed" for number in fixed]


def _to_front(shape: Shape, axis: int) -> Shape:
    return (*shape[axis : axis + 1], *shape[:axis], *shape[axis + 1 :])


def _declare(graph: Any, shapes: Mapping[str, Shape]) -> None:
    for item in (*graph.input, *graph.output):
        kind = item.type.tensor_type.elem_type
        item.CopyFrom(onnx.helper.make_tensor_value_info(item.name, kind, shapes[item.name]))


def _read_signature(graph: Any) -> Signature:
    return Signature(
        inputs=tuple(_describe(item) for item in graph.input),
        outputs=tuple(_describe(item) for item in graph.output),
    )


def _describe(item: Any) -> TensorSpec:
    dtype, shape = read_dtype(item), read_shape(item)
    try:
        return TensorSpec(name=item.name, datatype=datatype_of(dtype), shape=shape)
    except (KeyError, ValueError):
        raise ExportFailed(
            f"{item.name!r} is {dtype} {list(shape)}, which the wire cannot carry; name other outputs, or "
            "cast it in the model"
        ) from None
