"""Makes the batch size of a graph variable, and proves that the graph answers like its file."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.answer_distance import SAME_FLOATS, largest_apart
from export.data.datasets import Split
from export.errors import ExportFailed
from export.onnx.model_proto import copy_model
from export.onnx.probe_rows import BATCH
from export.onnx.stored_tensor import read_array
from export.proof.repeatability.mixing import advise
from export.repair.input_axes import InputForm
from export.repair.trial_run import Runner, TrialRun, count, to_front, try_graph
from serve.base.tensor import Arrays

# Reshape's values for the remaining size and for the input's size.
_REST, _SAME = -1, 0


def free_batch(
    model: Any, file: Any, rows: Split, forms: Mapping[str, InputForm], *, changed: bool
) -> tuple[TrialRun, float | None]:
    """Return the model for any number of rows, in the file's layout, and its difference from `file` on real
    rows.

    The difference is measured only if the batch was fixed or something was `changed` before. Raises
    ExportFailed."""
    _declare(model, forms)
    fixed = next((form.fixed for form in forms.values() if form.fixed is not None), None)
    if fixed is None:
        trial = try_graph(model, rows, forms)
        return trial, _prove_same(file, trial, forms, None) if changed else None
    reshaped = copy_model(model)
    _free_reshapes(reshaped.graph, fixed)
    reasons: list[ExportFailed] = []
    for candidate in (model, reshaped):
        try:
            trial = try_graph(candidate, rows, forms)
            return trial, _prove_same(file, trial, forms, fixed)
        except ExportFailed as error:
            reasons.append(error)
    name = next(name for name, form in forms.items() if form.fixed is not None)
    # An error of a graph that ran explains more than one of a graph that did not.
    reason = max(reversed(reasons), key=lambda error: isinstance(error, _OtherAnswers))
    fix = "convert it again with None there, or -1, or dynamic_axes"
    if isinstance(reason, _OtherAnswers):
        fix = advise(model.graph)
    raise ExportFailed(
        f"the file takes {fixed} row{'s' * (fixed > 1)} at once (its input {name!r}), and no other number: "
        f"{str(reason).partition(';')[0]}; {fix}"
    )


class _OtherAnswers(ExportFailed):
    """Raised when the graph runs but its answers differ from the file's."""


def _declare(model: Any, forms: Mapping[str, InputForm]) -> None:
    """Declare the rows where the file has them, and the outputs as they were observed."""
    for item in model.graph.input:
        axis = forms[item.name].axis
        _, *others = forms[item.name].dims
        shape = [*others[:axis], BATCH, *others[axis:]]
        item.CopyFrom(onnx.helper.make_tensor_value_info(item.name, item.type.tensor_type.elem_type, shape))
    for item in model.graph.output:
        item.CopyFrom(onnx.helper.make_tensor_value_info(item.name, item.type.tensor_type.elem_type, None))
    del model.graph.value_info[:]


def _free_reshapes(graph: Any, fixed: int) -> None:
    """Let every Reshape whose constant shape begins with `fixed` rows take any number of rows."""
    constants = dict(_constants(graph))
    # Values that are computed from weights alone have no rows.
    made = {item.name for item in graph.input}
    for node in graph.node:
        if made.intersection(node.input):
            made.update(node.output)
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape" and node.input[0] in made}
    for name in sorted(shapes & constants.keys()):
        sizes = read_array(constants[name]).copy()
        if sizes.ndim == 1 and len(sizes) > 1 and sizes[0] == fixed:
            sizes[0] = _SAME if _REST in sizes else _REST
            constants[name].CopyFrom(numpy_helper.from_array(sizes, constants[name].name))


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    for item in graph.initializer:
        yield item.name, item
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], node.attribute[0].t


def _prove_same(file: Any, trial: TrialRun, forms: Mapping[str, InputForm], fixed: int | None) -> float:
    """Return the difference from the file's answers, relative to the usual size in each place. Raises
    ExportFailed."""
    runner, largest = Runner(file, forms), 0.0
    for inputs, answers in trial.runs:
        expected = _run_in_pieces(runner, inputs, trial.axes, fixed or count(inputs))
        for name, answer in expected.items():
            difference = largest_apart(answers[name], answer)
            if not difference <= SAME_FLOATS and not _is_rounding(trial, inputs, name, answer):
                raise _OtherAnswers(
                    f"{count(inputs)} rows get answers in {name!r} up to {difference:.2g} of a value "
                    f"away from the file's own{' to fewer' if fixed else ''}; export it again with opset 18"
                )
            largest = max(largest, difference)
    return largest


def _is_rounding(trial: TrialRun, inputs: Arrays, name: str, expected: NDArray[Any]) -> bool:
    """Whether changes in the last bits of the weights explain the difference from the wanted answer."""
    rounding = trial.measure_rounding(inputs)[name]
    return largest_apart(trial.answer(inputs)[name], expected, rounding=rounding) <= SAME_FLOATS


def _run_in_pieces(runner: Runner, inputs: Arrays, axes: Mapping[str, int], size: int) -> Arrays:
    """Answer all rows in runs of `size`, repeating the last rows to fill the last run."""
    rows = count(inputs)
    pieces = []
    for start in range(0, rows, size):
        numbers = np.minimum(np.arange(start, start + size), rows - 1)
        pieces.append(to_front(runner.run({name: array[numbers] for name, array in inputs.items()}), axes))
    return {name: np.concatenate([piece[name] for piece in pieces])[:rows] for name in pieces[0]}
