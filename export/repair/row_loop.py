"""Lets a graph that answers only one row at a time take any number: a Scan runs it for each row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.answer_distance import largest_apart
from export.data.datasets import Split
from export.errors import ExportFailed, reason_of
from export.onnx.graph import free_name, nodes_of, rename, values_of
from export.onnx.model_proto import copy_model, open_model
from export.onnx.probe_rows import BATCH
from export.repair.input_axes import BATCH_NAMES, InputForm, Shape, read_dtype, read_forms, read_shape
from export.repair.trial_run import TrialRun, try_graph
from serve.base.tensor import Arrays

# These operators quantize by the range of all rows of a run.
_ONE_RANGE = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
_TRIED_ROWS = 4
_DATA_AXIS = 0
# The axis of the rows; None: the value has none.
Axes = Mapping[str, int | None]


def shares_range(graph: Any) -> bool:
    """Whether the graph was quantized dynamically, so that the rows of a run share a range."""
    return any(node.op_type in _ONE_RANGE for node in nodes_of(graph))


def loop_rows(
    model: Any, rows: Split, failure: ExportFailed | None
) -> tuple[TrialRun, dict[str, InputForm], float]:
    """Return the model in a loop over the rows, tried on real rows, and its difference from `model`.

    Raises `failure`, the reason why the model takes no batch, if it is not because it takes one row."""
    axes = _find_input_axes(model.graph, rows)
    if axes is None or not (failure is None or _takes_one(model, rows, axes)):
        raise failure or ExportFailed("the file takes other inputs than the data has")
    try:
        expected = _run_each(model, rows, axes)
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        # It answers no row, so the batch is not the reason.
        raise failure or ExportFailed(
            f"onnxruntime cannot run the file on one row: {reason_of(error)}"
        ) from error
    ranks = {name: answer.ndim for name, answer in expected[0].items()}
    looped = _build(model, axes, _find_output_axes(expected, axes, failure), ranks)
    [forms, *_] = read_forms(looped.graph, rows)
    trial = try_graph(looped, rows, forms)
    difference = 0.0
    for row, answers in enumerate(expected):
        again = trial.answer(_take(rows, row))
        for name, answer in answers.items():
            difference = max(difference, largest_apart(again[name].reshape(answer.shape), answer))
    return trial, forms, difference


def _takes_one(model: Any, rows: Split, axes: Axes) -> bool:
    """Whether the file has no place for a second row: an input without rows, or with one, or it fails on
    two."""
    shapes = {item.name: read_shape(item) for item in model.graph.input}
    for name, axis in axes.items():
        if axis is None or shapes[name][axis] == 1:
            return True
    try:
        feed = {
            name: np.moveaxis(array, _DATA_AXIS, axes[name] or 0) for name, array in rows.take_like(2).items()
        }
        open_model(model).run(None, feed)
    except Exception:  # onnxruntime raises a dozen unrelated classes
        return True
    return False


def _find_input_axes(graph: Any, rows: Split) -> dict[str, int | None] | None:
    """Return the axis of the rows of each input; None if the data does not fit the file."""
    if {item.name for item in graph.input} != set(rows.inputs):
        return None
    axes: dict[str, int | None] = {}
    for item in graph.input:
        shape, dims = read_shape(item), rows.inputs[item.name].shape
        if read_dtype(item) != rows.inputs[item.name].dtype:
            return None
        if len(shape) == len(dims) - 1 and _fits(shape, dims[1:]):
            axes[item.name] = None
            continue
        fitting = [
            axis
            for axis in range(len(shape))
            if len(shape) == len(dims)
            and (shape[axis] == 1 or isinstance(shape[axis], str))
            and _fits(shape[:axis] + shape[axis + 1 :], dims[1:])
        ]
        if not fitting:
            return None
        named = [axis for axis in fitting if BATCH_NAMES.fullmatch(str(shape[axis]))]
        axes[item.name] = (named or fitting)[0]
    return axes


def _fits(shape: Shape, sizes: tuple[int, ...]) -> bool:
    return all(isinstance(size, str) or size == length for size, length in zip(shape, sizes, strict=True))


def _take(rows: Split, row: int) -> Arrays:
    return rows.take(np.array([row], np.int64))


def _run_each(model: Any, rows: Split, axes: Axes) -> list[dict[str, NDArray[Any]]]:
    """Return the file's own answers to a few rows. Raises the errors of onnxruntime."""
    session = open_model(model)
    names = [item.name for item in model.graph.output]
    expected = []
    for row in range(min(_TRIED_ROWS, len(rows))):
        feed = {}
        for name, array in _take(rows, row).items():
            axis = axes[name]
            feed[name] = np.asarray(array[0]) if axis is None else np.moveaxis(array, _DATA_AXIS, axis)
        expected.append(dict(zip(names, session.run(names, feed), strict=True)))
    return expected


def _find_output_axes(
    answers: list[dict[str, NDArray[Any]]], axes: Axes, failure: ExportFailed | None
) -> dict[str, int | None]:
    """Return the axis of size 1 that stands for the row in each output. Raises ExportFailed for an output
    whose size differs from row to row."""
    found: dict[str, int | None] = {}
    usual = [0, *(axis for axis in axes.values() if axis)]
    for name in answers[0]:
        shapes = {answer[name].shape for answer in answers}
        if len(shapes) > 1:
            raise ExportFailed(
                f"the file answers one row at a time, and the output {name!r} has another size for each "
                f"({', '.join(map(str, sorted(shapes)[:3]))}), so no batch of rows has one shape; leave it "
                "out of `outputs`, or pad it in the model"
            ) from failure
        [shape] = shapes
        ones = [axis for axis in usual if axis < len(shape) and shape[axis] == 1]
        found[name] = ones[0] if ones else None
    return found


def _build(model: Any, inputs: Axes, outputs: Axes, ranks: Mapping[str, int]) -> Any:
    """Return the model with one node, a Scan whose body is the graph; the weights stay outside."""
    looped = copy_model(model)
    body, outer = onnx.GraphProto(name="row"), looped.graph
    body.node.extend(outer.node)
    taken = values_of(outer)
    inner = {name: free_name(f"{name}_row", taken) for name in (*inputs, *outputs)}
    rename(body, inner)
    for item in outer.input:
        axis, shape = inputs[item.name], list(read_shape(item))
        if axis is not None:
            del shape[axis]
        kind = item.type.tensor_type.elem_type
        sliced = helper.make_tensor_value_info(free_name(f"{item.name}_slice", taken), kind, shape)
        body.input.append(sliced)
        body.node.insert(0, _adapt("Unsqueeze", sliced.name, inner[item.name], axis))
        item.CopyFrom(helper.make_tensor_value_info(item.name, kind, [BATCH, *shape]))
    for item in outer.output:
        kind = item.type.tensor_type.elem_type
        # A Scan needs the rank of each output.
        free = [None] * (ranks[item.name] - (outputs[item.name] is not None))
        stacked = helper.make_tensor_value_info(free_name(f"{item.name}_slice", taken), kind, free)
        body.output.append(stacked)
        body.node.append(_adapt("Squeeze", inner[item.name], stacked.name, outputs[item.name]))
        item.CopyFrom(helper.make_tensor_value_info(item.name, kind, None))
    for axis in sorted({axis for axis in (*inputs.values(), *outputs.values()) if axis is not None}):
        outer.initializer.append(numpy_helper.from_array(np.array([axis], np.int64), _axis_name(axis)))
    del outer.node[:], outer.value_info[:]
    names = [[item.name for item in items] for items in (outer.input, outer.output)]
    outer.node.append(
        helper.make_node("Scan", *names, name="rows", body=body, num_scan_inputs=len(outer.input))
    )
    return looped


def _adapt(operator: str, before: str, after: str, axis: int | None) -> Any:
    name = f"{after}_{operator.lower()}"
    if axis is None:
        return helper.make_node("Identity", [before], [after], name)
    return helper.make_node(operator, [before, _axis_name(axis)], [after], name)


def _axis_name(axis: int) -> str:
    return f"axis_of_the_row_{axis}"
