"""Finds the axis of a graph's rows by its answers, if the file does not declare it."""

from typing import Any

from export.data.datasets import Split
from export.errors import ExportFailed
from export.onnx.model_proto import copy_model
from export.proof.repeatability.row_independence import is_another, trials
from export.repair.batch_dimension import free_batch
from export.repair.input_axes import InputForm, read_forms
from export.repair.trial_run import TrialRun

Batch = tuple[TrialRun, dict[str, InputForm], float | None]


def find_batch(model: Any, file: Any, rows: Split, *, changed: bool) -> Batch:
    """Return what `free_batch` finds for the most likely form of the inputs in which rows are answered
    independently.

    If there is none, use the most likely form that works. Raises ExportFailed."""
    candidates = read_forms(model.graph, rows)
    working: list[Batch] = []
    reasons: list[ExportFailed] = []
    for forms in candidates:
        copied = model
        if len(candidates) > 1:
            copied = copy_model(model)
        try:
            trial, difference = free_batch(copied, file, rows, forms, changed=changed)
        except ExportFailed as error:
            reasons.append(error)
            continue
        working.append((trial, forms, difference))
        if len(candidates) == 1 or not _sees_others(trial, rows):
            return working[-1]
    if working:
        return working[0]
    if len(candidates) == 1:
        raise reasons[0]
    name, axes = _name_choice(candidates)
    raise ExportFailed(
        f"the rows may lie along the axes {', '.join(map(str, axes))} of the input {name!r}, and the graph "
        f"works along none of them ({str(reasons[0]).partition(';')[0]}); convert it again with None for the "
        "rows alone, or call their dimension `batch` (dim_param in model.graph.input) if it is free"
    )


def _name_choice(candidates: list[dict[str, InputForm]]) -> tuple[str, list[int]]:
    """Return an input whose rows may lie along several axes, with these axes."""
    for name in candidates[0]:
        axes = sorted({forms[name].axis for forms in candidates})
        if len(axes) > 1:
            return name, axes
    raise AssertionError("several candidates differ")


def _sees_others(tried: TrialRun, rows: Split) -> bool:
    for trial in trials(rows):
        try:
            before, after = tried.answer(trial.before), tried.answer(trial.after)
        except ExportFailed:
            # NaN is not a fault here.
            continue
        if any(is_another(before[name][trial.kept], after[name][trial.kept]) for name in before):
            return True
    return False
