"""Checks that the labels fit the first output, and finds figures that the labels do not give."""

from export.data.datasets import Data
from export.data.label_check import require_labels_below
from export.data.labels import Labels
from export.errors import ExportFailed, InvalidData
from export.proof.by_label.error_metrics import is_constant
from serve.base.tensor import TensorSpec
from serve.bundles.meaning import Rule, Task
from serve.tasks.task_table import TASKS


def explain_undefined(task: Task, labels: Labels) -> dict[str, str]:
    """Return the figures of the task that these labels do not give, with the reason."""
    traits = TASKS[task]
    if traits.label_type == "number" and is_constant(labels):
        return {"r2": "all held-out labels of a column are the same number, which has no R2"}
    if traits.label_type != "flag":
        return {}
    wide = labels.reshape(len(labels), -1)
    holds, fails = (wide == 1).any(axis=0), (wide == 0).any(axis=0)
    reasons = {}
    if not holds.any():
        why = "no held-out row has a label that holds, so there is no F1"
        reasons = {name: why for name in traits.by_labels if name.endswith("f1")}
    if not (holds & fails).any():
        reasons["auc"] = "no label holds for some held-out rows and not for others, so there is no AUC"
    return reasons


def require_maps_fit(rule: Rule, first: TensorSpec, data: Data) -> None:
    """Raise InvalidData or ExportFailed unless the `first` output, whose classes are in the dimension that
    `rule` names, has a score per class for each label of a map."""
    axis = rule.axis % max(1, len(first.shape))
    classes = first.shape[axis] if axis else None
    if len(first.shape) < 3 or not isinstance(classes, int) or classes < 2:
        raise ExportFailed(
            f"the first output {first.name} has the shape {list(first.shape)}, and a segmentation has the "
            f"scores of two or more classes in one dimension, here {rule.axis}, and the places in others: "
            f"name the dimension of the classes in `rules: {{{first.name}: {{kind: classes, axis: 1}}}}`"
        )
    wanted = [size for place, size in enumerate(first.shape) if place not in (0, axis)]
    for name, split in data.splits.items():
        if split.labels is None:
            continue
        came = split.labels.shape[1:]
        if len(came) != len(wanted) or any(
            isinstance(size, int) and size != have for size, have in zip(wanted, came, strict=True)
        ):
            raise InvalidData(
                f"split {name} has labels of the shape {['rows', *came]}, and the first output {first.name} "
                f"has {list(first.shape)} with its classes in dimension {axis}: give one label for each place"
            )
    require_labels_below(data, classes)


def require_flags_fit(task: Task, first: TensorSpec, data: Data) -> None:
    """Raise ExportFailed or InvalidData unless the `first` output has a score per row, or for each label."""
    if TASKS[task].label_dims == ("rows",):
        if first.shape[1:] not in ((), (1,)):
            raise ExportFailed(
                f"the first output {first.name} has the shape {list(first.shape)}, and the task {task} takes "
                "one score per row, [batch] or [batch, 1]: write `task: classification` for a score per "
                "class, or `task: multilabel` for several scores of which each decides alone"
            )
        return
    for name, split in data.splits.items():
        if split.labels is not None and len(first.shape) == 2 and split.labels.shape[1] != first.shape[1]:
            raise InvalidData(
                f"split {name} has {split.labels.shape[1]} labels per row, and the first output {first.name} "
                f"has {first.shape[1]} scores: give 1 or 0 for each score"
            )


def require_relevance_fits(first: TensorSpec, data: Data) -> None:
    """Raise ExportFailed or InvalidData unless the `first` output has the scores of a query's items,
    [batch, items], or one score per row with the query of each row in the labels."""
    one_score = first.shape[1:] in ((), (1,))
    if not one_score and len(first.shape) != 2:
        raise ExportFailed(
            f"the first output {first.name} has the shape {list(first.shape)}, and a ranking has the scores "
            "of the items of a query, [batch, items], or one score per row, [batch] or [batch, 1]"
        )
    for name, split in data.splits.items():
        items = 2 if one_score else first.shape[1]
        if split.labels is not None and isinstance(items, int) and split.labels.shape[1] != items:
            need = (
                "a mapping with the `relevance` of each row and the number of its query in `groups`"
                if one_score
                else "one relevance for each score, or NaN"
            )
            raise InvalidData(
                f"split {name} has labels of the shape {['rows', *split.labels.shape[1:]]}, and the first "
                f"output {first.name} has {list(first.shape)}: give {need}"
            )


def require_same_shape(first: TensorSpec, data: Data) -> None:
    """Raise InvalidData unless labels that are numbers have the shape of the `first` output; [rows] and
    [rows, 1] are the same."""
    for name, split in data.splits.items():
        if split.labels is None:
            continue
        came, wanted = split.labels.shape[1:], first.shape[1:]
        fits = len(came) == len(wanted) and all(
            isinstance(size, str) or size == have for size, have in zip(wanted, came, strict=True)
        )
        if not fits and not {came, wanted} <= {(), (1,)}:
            raise InvalidData(
                f"split {name} has labels of the shape {['rows', *came]}, and the first output {first.name} "
                f"has {list(first.shape)}: give one number for each number of the output, or NaN"
            )
