"""Checks that the labels of the data are of the task's kind, and classes of the model."""

import numpy as np

from export.data.datasets import Data
from export.data.labels import IGNORE, Labels
from export.errors import InvalidData
from serve.bundles.meaning import Task
from serve.tasks.task_table import TASKS


def require_labels_for(data: Data, task: Task) -> None:
    """Raise InvalidData unless all labels are of the kind that the task requires."""
    dims = TASKS[task].label_dims
    if dims is None:
        return
    expected = len(dims)
    for name, split in data.splits.items():
        if split.labels is not None and split.labels.ndim != expected:
            kinds = ("no labels (None)", "one label per row", "one label per token")
            raise InvalidData(
                f"split {name} has {kinds[split.labels.ndim]}, and the recipe's task, {task}, takes "
                f"{kinds[expected]}: a label is the class of a row (`task: classification`) or of a token "
                "(`task: token_classification`), and `embedding` and `tensors` have none; write the task "
                "that the labels are of, or give None for labels"
            )


def require_labels_below(data: Data, classes: int) -> None:
    """Raise InvalidData unless every label is one of the model's `classes`."""
    for name, split in data.splits.items():
        if split.labels is None or split.labels.max() < classes:
            continue
        wrong = np.argwhere(split.labels >= classes)
        raise InvalidData(
            f"split {name}: {len(wrong)} labels are out of range, first {split.labels[tuple(wrong[0])]} in "
            f"row {wrong[0][0]}; the model's first output has {classes} classes: labels are 0 to "
            f"{classes - 1}{_count_from_one(split.labels, classes)}"
        )


def _count_from_one(labels: Labels, classes: int) -> str:
    counted = labels[labels != IGNORE]
    return "; these begin at 1: subtract 1" if (counted.min(), counted.max()) == (1, classes) else ""
