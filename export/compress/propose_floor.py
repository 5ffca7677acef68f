"""Propose a quality floor for a task. Pure."""

from serve.bundles.meaning import Task
from serve.tasks.task_table import TASKS

# What a variant may lose, or must keep, if the held-out rows can show it.
_DROP = 0.02
_LEAST = 0.95
# A limit this far below what perfect answers could show leaves room for a few rows that differ.
_ROOM = 0.03
_TAIL = 0.025


def propose_floor(task: Task, labelled: bool, rows: int) -> dict[str, float]:
    """Return the limits of a floor for variants of a model with this task, measured on so many held-out
    `rows`.

    Every limit applies to the worse end of an interval, so few rows cannot show a high agreement: of n rows
    that all agree, the interval begins at 0.025^(1/n) (Clopper and Pearson, 1934)."""
    traits = TASKS[task]
    main = traits.by_answers[0]
    shown = _TAIL ** (1 / rows)
    floor = {main: _LEAST if main == "cosine" else round(min(_LEAST, shown - _ROOM), 2)}
    if labelled and traits.label_floors:
        # A single row that only the baseline gets right is a drop of 1 / rows.
        floor[traits.label_floors[0]] = round(min(max(_DROP, 5 / rows), 1.0), 2)
    return floor
