"""Guess the task of a model from its answers and the labels of the same rows. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.compress.find_boxes import find_boxes
from export.compress.find_class_axis import find_class_axis, find_share_axis
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
    # The dimension of the classes, where it is not the last.
    axis: int | None = None

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        """The recipe's `rules`, where the task alone does not say how answers are compared."""
        return {} if self.axis is None else {self.output: {"kind": "classes", "axis": self.axis}}


class _Fit(NamedTuple):
    task: Task
    # What the output has.
    reason: str
    axis: int | None = None


def guess_task(answers: Mapping[str, Array], labels: Array | None = None) -> Guess:
    """Return the task that fits the answers, [rows, ...] by output, and the labels of the same rows.

    Without labels, only answers whose numbers or names show it are classes, embeddings or boxes; all others
    get `tensors`, which compares every number. Raises InvalidData if the labels fit no output."""
    for name, answer in answers.items():
        fitting = _fit_answers(name, answer) if labels is None else _fit_labels(answer, labels)
        for fit in fitting:
            reason = f"output {name} has {fit.reason}"
            return Guess(task=fit.task, output=name, reason=reason, axis=fit.axis)
    boxes = find_boxes(answers, labels)
    if boxes is not None:
        reason = f"output {boxes.output} has {boxes.reason}"
        return Guess(task="detection", output=boxes.output, reason=reason)
    if labels is None:
        return Guess(
            task="tensors",
            output=next(iter(answers)),
            reason="no output is recognizable as classes, embeddings or boxes, so all numbers are compared",
        )
    _refuse_counts_from_one(answers, labels)
    shapes = ", ".join(f"{name} {list(answer.shape)}" for name, answer in answers.items())
    raise InvalidData(
        f"labels of {labels.dtype} {list(labels.shape)} fit none of the outputs ({shapes}); name the task "
        "with --task, or leave out --labels"
    )


def _refuse_counts_from_one(answers: Mapping[str, Array], labels: Array) -> None:
    """Raise InvalidData if the labels would fit an output if they began at 0."""
    if labels.dtype.kind not in "iu" or not labels.size or labels.min() != 1:
        return
    for name, answer in answers.items():
        for fit in _fit_labels(answer, labels - 1):
            raise InvalidData(
                f"the labels are 1 to {labels.max()}, and would fit as {fit.task} of the output {name} "
                f"{list(answer.shape)} if they were 0 to {labels.max() - 1}; subtract 1 from the labels"
            )


def _fit_labels(answer: Array, labels: Array) -> Iterator[_Fit]:
    """Yield the tasks that fit an output and its labels, the likeliest first, each with the reason."""
    if answer.dtype.kind != "f" or len(answer) != len(labels):
        return
    whole = labels.dtype.kind in "iub"
    two = whole and bool(np.isin(labels, (0, 1)).all())
    wide = tuple(size for size in answer.shape[1:] if size != 1)
    if labels.size == len(labels):
        if not wide and two:
            yield _Fit("binary", "one number per row, and the labels are 0 and 1")
        if not wide:
            yield _Fit("regression", "one number per row, and so have the labels")
        if whole and len(wide) == 1 and labels.max() < wide[0]:
            yield _Fit("classification", f"{wide[0]} numbers per row, and each label is a class")
    if labels.shape[1:] == answer.shape[1:]:
        if two and len(wide) == 1:
            yield _Fit("multilabel", f"{wide[0]} numbers per row, each with a label of 0 or 1")
        yield _Fit("regression", "a label for each of its numbers")
    if whole and answer.ndim > 2:
        yield from _fit_maps(answer, labels)


def _fit_maps(answer: Array, labels: Array) -> Iterator[_Fit]:
    """Yield the task of an output with scores for each step or place, and the class of each as a label."""
    found = find_class_axis(answer, labels)
    if found is None:
        return
    if found.axis < answer.ndim - 1:
        words = f"scores along its second dimension, because {found.reason}"
        yield _Fit("segmentation", f"{words}; a label is the class of a place", 1)
        return
    words = f"scores along its last dimension, because {found.reason}"
    if answer.ndim == 3:
        yield _Fit("token_classification", f"{words}; a label is the class of a step")
    else:
        yield _Fit("segmentation", f"{words}; a label is the class of a place")


def _fit_answers(name: str, answer: Array) -> Iterator[_Fit]:
    """Yield the tasks that an output without labels shows by its numbers or its name, with the reason."""
    if answer.dtype.kind != "f" or answer.ndim < 2 or answer.shape[-1] < 2:
        return
    if answer.ndim == 2:
        form = read_meaning("classification", answer).form
        if form in _SHARES:
            yield _Fit("classification", "rows whose numbers are shares of 1")
        if answer.shape[1] >= _LEAST_WIDTH and read_meaning("embedding", answer).form == "unit":
            yield _Fit("embedding", "rows of length 1")
        if _VECTORS.search(name):
            yield _Fit("embedding", "the name of an embedding")
        if form == "plain" and _SCORES.search(name):
            yield _Fit("classification", "the name of scores")
    elif (axis := find_share_axis(answer)) is not None:
        if axis == 1:
            yield _Fit("segmentation", "numbers along its second dimension that are shares of 1", 1)
        elif answer.ndim == 3:
            yield _Fit("token_classification", "steps whose numbers are shares of 1")
        else:
            yield _Fit("segmentation", "numbers along its last dimension that are shares of 1")
