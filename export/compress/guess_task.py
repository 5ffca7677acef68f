"""Guess the task of a model from its answers and the labels of the same rows. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData
from serve.bundles.meaning import Task
from serve.tasks.answer_form import read_meaning

Array = NDArray[Any]
_SCORES = re.compile(r"logit|prob|score|softmax|class", re.IGNORECASE)
_VECTORS = re.compile(r"embed|pooled|feature", re.IGNORECASE)
_SHARES = ("shares", "log_shares")
# Vectors of length 1 with fewer dimensions may be points on a circle or a rotation.
_LEAST_WIDTH = 16


@dataclass(frozen=True, kw_only=True)
class Guess:
    """The task, the output that it describes, and why."""

    task: Task
    output: str
    reason: str


def guess_task(answers: Mapping[str, Array], labels: Array | None = None) -> Guess:
    """Return the task that fits the answers, [rows, ...] by output, and the labels of the same rows.

    Without labels, only answers whose numbers or names show it are classes or embeddings; all others get
    `tensors`, which compares every number. Raises InvalidData if the labels fit no output."""
    for name, answer in answers.items():
        fitting = _fit_answers(name, answer) if labels is None else _fit_labels(answer, labels)
        for task, reason in fitting:
            return Guess(task=task, output=name, reason=f"output {name} has {reason}")
    if labels is None:
        return Guess(
            task="tensors",
            output=next(iter(answers)),
            reason="no output is recognizable as classes or embeddings, so all numbers are compared",
        )
    shapes = ", ".join(f"{name} {list(answer.shape)}" for name, answer in answers.items())
    raise InvalidData(
        f"labels of {labels.dtype} {list(labels.shape)} fit none of the outputs ({shapes}); name the task "
        "with --task, or leave out --labels"
    )


def _fit_labels(answer: Array, labels: Array) -> Iterator[tuple[Task, str]]:
    """Yield the tasks that fit an output and its labels, the likeliest first, each with the reason."""
    if answer.dtype.kind != "f" or len(answer) != len(labels):
        return
    whole = labels.dtype.kind in "iub"
    two = whole and bool(np.isin(labels, (0, 1)).all())
    wide = tuple(size for size in answer.shape[1:] if size != 1)
    if labels.size == len(labels):
        if not wide and two:
            yield "binary", "one number per row, and each label is 1 or 0"
        if not wide and not two:
            yield "regression", "one number per row, and so have the labels"
        if whole and len(wide) == 1 and labels.max() < wide[0]:
            yield "classification", f"{wide[0]} numbers per row, and each label is a class"
    if labels.shape == answer.shape and len(wide) == 1 and two:
        yield "multilabel", "a label of 1 or 0 for each of its numbers"
    if labels.shape[1:] == answer.shape[1:]:
        yield "regression", "a label for each of its numbers"
    if whole and labels.shape[1:] == answer.shape[1:-1]:
        yield "token_classification", "scores for each step, and each label is the class of a step"


def _fit_answers(name: str, answer: Array) -> Iterator[tuple[Task, str]]:
    """Yield the tasks that an output without labels shows by its numbers or its name, with the reason."""
    if answer.dtype.kind != "f" or answer.ndim < 2 or answer.shape[-1] < 2:
        return
    if answer.ndim == 2:
        form = read_meaning("classification", answer).form
        if form in _SHARES:
            yield "classification", "rows whose numbers are shares of 1"
        if answer.shape[1] >= _LEAST_WIDTH and read_meaning("embedding", answer).form == "unit":
            yield "embedding", "rows of length 1"
        if _VECTORS.search(name):
            yield "embedding", "the name of an embedding"
        if form == "plain" and _SCORES.search(name):
            yield "classification", "the name of scores"
    elif answer.ndim == 3 and read_meaning("token_classification", answer).form in _SHARES:
        yield "token_classification", "steps whose numbers are shares of 1"
