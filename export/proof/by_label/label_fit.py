"""Checks that the labels fit the first output, and finds figures that the labels do not give."""

from export.data.datasets import Data
from export.data.labels import Labels
from export.errors import InvalidData
from export.proof.by_label.error_metrics import is_constant
from serve.base.tensor import TensorSpec
from serve.bundles.meaning import Task
from serve.tasks.task_table import TASKS


def explain_undefined(task: Task, labels: Labels) -> dict[str, str]:
    """Return the figures of the task that these labels do not give, with the reason."""
    if TASKS[task].label_type == "number" and is_constant(labels):
        return {"r2": "all held-out labels of a column are the same number, which has no R2"}
    return {}


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
