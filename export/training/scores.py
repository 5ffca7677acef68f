"""Scores a module on the search split with one number; higher is better."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from export.artifacts import Context
from export.data.datasets import Split
from export.data.labels import IGNORE
from export.training.answers import Answers, module_answers
from export.training.teacher import teacher_answers
from serve.bundles.meaning import Meaning, Rule, Task
from serve.tasks.answer_form import measure_rule, read_meaning
from serve.tasks.compare_outputs import compare
from serve.tasks.spread import scale_of
from serve.tasks.task_table import TASKS

# Labelled probabilities distinguish classes by their relative size.
_OF_CLASSES = {"form": "plain"}
Score = Callable[[torch.nn.Module], float]


def accuracy_of(module: torch.nn.Module, split: Split, axis: int = -1) -> float:
    """Return the share of rows (or tokens, or pixels) whose top class in the first output, along `axis`,
    equals their label."""
    assert split.labels is not None, "the caller asked for labels"
    return _agreement(module_answers(module, split).argmax(axis), split.labels)


def score_labels(rule: Rule, module: torch.nn.Module, split: Split) -> float:
    """Return how well the first output, which is compared by `rule`, fits the labels of the split: the
    accuracy of classes, the accuracy (of several labels: the micro-F1) of labels, or R2 of numbers."""
    assert split.labels is not None, "the caller asked for labels"
    wanted = split.labels
    if rule.kind == "labels":
        return _fit_labels(
            module_answers(module, split).reshape(wanted.shape) > (rule.threshold or 0), wanted
        )
    if rule.kind != "numbers":
        return accuracy_of(module, split, rule.axis)
    errors = np.square(module_answers(module, split).reshape(wanted.shape) - wanted)
    return 1 - float(np.nanmean(errors) / max(np.nanvar(wanted), np.finfo(np.float32).tiny))


def _fit_labels(answered: NDArray[np.bool_], wanted: NDArray[Any]) -> float:
    if wanted.ndim == 1:
        return float((answered == wanted).mean())
    answered = answered & (wanted != IGNORE)
    right = (answered & (wanted == 1)).sum()
    return float(2 * right / max(1, answered.sum() + (wanted == 1).sum()))


def label_rule(context: Context) -> Rule:
    """Return the rule of the first output, by which labels are learnt, with the form of scores of labels."""
    if context.kind == "labels":
        search = context.data.search
        return read_baseline(context, teacher_answers(context, search), search)
    return context.rule or Rule(kind=TASKS[context.task].rule or "classes")


def likeness_to(task: Task, answers: Answers, split: Split, meaning: Meaning | None = None) -> Score:
    """Return a function that scores how similar a module's answers are to the given ones.

    The score is the share of rows or tokens that do not differ; for embeddings the mean cosine; for numbers 1
    - their mean squared difference over the variance. Without `meaning`, it is inferred from these
    answers."""
    meaning = meaning or read_teacher(task, answers, split)
    if meaning.kind == "numbers":
        return lambda module: 1 - distance(task, meaning, answers, module_answers(module, split), split)
    return lambda module: likeness(task, meaning, answers, module_answers(module, split), split)


def read_baseline(context: Context, answers: Answers, split: Split) -> Meaning:
    """Infer the meaning of the baseline's answers to the split, as the floor does with those to the held-out
    rows."""
    labelled, named = context.data.labelled, context.trained.named
    if context.rule is not None:
        return measure_rule(context.rule, _without_padding(answers, split))
    return read_teacher(context.task, answers, split, labelled=labelled, named=named)


def read_teacher(
    task: Task, answers: Answers, split: Split, *, labelled: bool = False, named: bool = False
) -> Meaning:
    """Infer the meaning of the teacher's answers to the split; `labelled` or `named`: they are known to be
    classes."""
    labelled |= split.labels is not None
    return read_meaning(task, _without_padding(answers, split), labelled=labelled, named=named)


def likeness(task: Task, meaning: Meaning, expected: Answers, actual: Answers, split: Split) -> float:
    """Return the share of rows (or tokens) that do not differ; for embeddings the mean cosine."""
    differences = compare(task, _without_padding(expected, split), actual, meaning)
    if meaning.kind == "vectors" and differences.cosine is not None:
        return float(differences.cosine.mean())
    return 1 - float(differences.differing.sum() / differences.pairs.sum())


def distance(task: Task, meaning: Meaning, expected: Answers, actual: Answers, split: Split) -> float:
    """Return the mean distance over rows: KL(expected || actual) between classes (of each row's mean over its
    tokens), 1 - cosine of embeddings, the mean squared difference of the chances of labels, or that of
    numbers over their variance."""
    if meaning.kind == "numbers":
        spread = np.maximum(scale_of(meaning, expected.shape), np.finfo(np.float32).tiny)
        return float(np.nanmean(np.square((_without_padding(expected, split) - actual) / spread)))
    if meaning.kind == "labels":
        return _distance_of_chances(meaning, expected, actual)
    if meaning.kind == "vectors":
        return 1 - likeness(task, meaning, expected, actual, split)
    differences = compare(
        task, _without_padding(expected, split), actual, meaning.model_copy(update=_OF_CLASSES)
    )
    assert differences.row_kl is not None, "classes have one, but for chances"
    return float(differences.row_kl.mean())


def _distance_of_chances(meaning: Meaning, expected: Answers, actual: Answers) -> float:
    one, other = (each if meaning.form == "chances" else expit(each) for each in (expected, actual))
    return float(np.nanmean(np.square(one.astype(np.float64) - other)))


def _without_padding(answers: Answers, split: Split) -> Answers:
    """Return the answers with NaN for padding tokens."""
    if answers.ndim != 3 or split.lengths is None:
        return answers
    real = np.arange(answers.shape[1]) < split.lengths[:, None]
    return np.where(real[..., None], answers, np.float32(np.nan))


def _agreement(top: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    if expected.ndim == 2:
        expected = expected[:, : top.shape[1]]
    counted = expected != IGNORE
    return float((top == expected)[counted].mean())
