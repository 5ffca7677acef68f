"""Checks that the first output, the labels and the class names fit the recipe's task."""

from collections.abc import Mapping, Sequence

from export.data.datasets import Data
from export.data.label_check import require_labels_below
from export.errors import ExportFailed, InvalidData
from export.proof.by_label.label_fit import require_flags_fit, require_relevance_fits, require_same_shape
from serve.base.tensor import TensorSpec
from serve.bundles.meaning import Rule, Task
from serve.tasks.criterion import FAR
from serve.tasks.task_table import TASKS

_FORMS = {name: traits.dims for name, traits in TASKS.items() if traits.dims is not None}


def require_task(task: Task, first: TensorSpec, data: Data, names: Sequence[str]) -> None:
    """Raise ExportFailed or InvalidData unless the `first` output has a shape of the task, and a score for
    each label of the data and each class name.

    One number per row, [batch] or [batch, 1], is not a score; a classification without labels treats it as a
    number."""
    traits = TASKS[task]
    if traits.label_type == "number":
        require_same_shape(first, data)
    if traits.label_type == "flag":
        require_flags_fit(task, first, data)
    if traits.label_type == "relevance":
        require_relevance_fits(first, data)
    if traits.dims is None:
        return
    one_number = first.shape[1:] in ((), (1,))
    if not (one_number and (traits.label_dims == ("rows",) or traits.rule == "labels")):
        _require_shape(task, first)
    if one_number and traits.rule == "vectors":
        raise InvalidData(
            f"the first output {first.name} is one number, {list(first.shape)}: the cosine of two such is 1 "
            "for any values; it is not an embedding"
        )
    if traits.label_type == "class" and (len(first.shape) == 1 or first.shape[-1] == 1):
        _refuse_labels(first, data)
    if not traits.names_classes:
        return
    scores = first.shape[-1] if len(first.shape) > 1 else 1
    assert isinstance(scores, int), "the shape was looked at"
    if traits.label_type == "class":
        require_labels_below(data, scores)
    if names and len(names) != scores:
        raise ExportFailed(
            f"{len(names)} classes have a name, from {names[0]} to {names[-1]}, and the output {first.name} "
            f"has {scores} scores: correct the file of `labels`, or the order of `outputs`"
        )


def require_rules(rules: Mapping[str, Rule], outputs: Sequence[TensorSpec]) -> None:
    """Raise ExportFailed unless each output has the form that its rule compares."""
    for spec in outputs:
        rule = rules.get(spec.name)
        if rule is None or rule.kind in ("exact", "state"):
            continue
        fault = _find_misfit(rule, spec)
        if fault is not None:
            raise ExportFailed(
                f"rules.{spec.name} compares the output as {rule.kind}, but it {fault}; correct the rule, or "
                "compare by `kind: exact`"
            )


def _find_misfit(rule: Rule, spec: TensorSpec) -> str | None:
    if spec.dtype.kind not in "fiub":
        return f"holds {spec.datatype}, no numbers"
    if rule.kind in ("numbers", "labels", "boxes", "ranks"):
        return None
    axis = rule.axis if rule.kind == "classes" else -1
    if not -len(spec.shape) < axis < len(spec.shape):
        return f"has the shape {list(spec.shape)}, without a dimension {axis}"
    if not isinstance(spec.shape[axis], int) or spec.shape[axis] == 1:
        return f"has the shape {list(spec.shape)}, whose dimension {axis} has no fixed size of two or more"
    return None


def _require_shape(task: Task, first: TensorSpec) -> None:
    fitting = [name for name in _FORMS if _fits(name, first)]
    if task in fitting:
        return
    forms = ", ".join(f"{name} [{', '.join(form)}]" for name, form in _FORMS.items())
    others = f"that fits {' and '.join(fitting)}" if fitting else "that fits none of these"
    raise ExportFailed(
        f"the first output {first.name} has the shape {list(first.shape)}, and the task is {task}; of the "
        f"tasks that take one shape, with a fixed last dimension ({forms}), {others}: name an output of the "
        "task's shape first in `outputs`, or write `task: regression` without labels, which compares numbers "
        "of any shape one by one"
    )


def _fits(task: Task, first: TensorSpec) -> bool:
    return len(first.shape) == len(_FORMS[task]) and isinstance(first.shape[-1], int)


def _refuse_labels(first: TensorSpec, data: Data) -> None:
    if data.held_out.labels is None:
        return
    rule = f"stays within {FAR} standard deviations" if first.dtype.kind == "f" else "is the same"
    raise InvalidData(
        f"the first output {first.name} is one number, {list(first.shape)}: a label is a class, and it tells "
        f"none apart; give None for labels, and limit agreement, the share of rows whose number {rule}"
    )
