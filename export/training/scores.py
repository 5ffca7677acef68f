"""Scores: how good a module is on the search split, one number, more is better."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from export.artifacts import Context
from export.data.datasets import Split
from export.data.labels import IGNORE
from export.training.answers import Answers, module_answers
from serve.bundles.figures import Meaning, Task
from serve.engine.compare_outputs import compare
from serve.engine.meaning import read_meaning

# Chances that are labelled tell classes apart, by how large they are beside each other.
_OF_CLASSES = {"form": "plain"}
Score = Callable[[torch.nn.Module], float]


def accuracy_of(module: torch.nn.Module, split: Split) -> float:
    """The share of rows (or tokens) whose top class in the first output is their label."""
    assert split.labels is not None, "the caller asked for labels"
    return _agreement(module_answers(module, split).argmax(-1), split.labels)


def likeness_to(task: Task, answers: Answers, split: Split, meaning: Meaning | None = None) -> Score:
    """How much alike a module answers: the share of rows or tokens that do not differ, of embeddings the mean
    cosine, of numbers 1 - their mean squared difference over the variance. None: the meaning is read from
    these answers."""
    meaning = meaning or read_teacher(task, answers, split)
    if meaning.kind == "numbers":
        return lambda module: 1 - distance(task, meaning, answers, module_answers(module, split), split)
    return lambda module: likeness(task, meaning, answers, module_answers(module, split), split)


def read_baseline(context: Context, answers: Answers, split: Split) -> Meaning:
    """What the baseline's answers to the split mean, as the floor reads it of those to the held-out rows."""
    labelled, named = context.data.labelled, context.trained.named
    return read_teacher(context.task, answers, split, labelled=labelled, named=named)


def read_teacher(
    task: Task, answers: Answers, split: Split, *, labelled: bool = False, named: bool = False
) -> Meaning:
    """What these answers to the split mean, of which others are a likeness; `labelled` or `named`: somebody
    has said that they are of classes."""
    labelled |= split.labels is not None
    return read_meaning(task, _without_padding(answers, split), labelled=labelled, named=named)


def likeness(task: Task, meaning: Meaning, wanted: Answers, came: Answers, split: Split) -> float:
    """The share of rows (or tokens) that do not differ; of embeddings the mean cosine."""
    differences = compare(task, _without_padding(wanted, split), came, meaning)
    if meaning.kind == "vectors" and differences.cosine is not None:
        return float(differences.cosine.mean())
    return 1 - float(differences.differing.sum() / differences.pairs.sum())


def distance(task: Task, meaning: Meaning, wanted: Answers, came: Answers, split: Split) -> float:
    """The mean over rows of KL(wanted || came) between classes (of each row's mean over its tokens), or of
    1 - cosine of embeddings; or the mean squared difference of numbers over their variance."""
    if meaning.kind == "numbers":
        spread = np.maximum(np.asarray(meaning.spread), np.finfo(np.float32).tiny)
        return float(np.nanmean(np.square((_without_padding(wanted, split) - came) / spread)))
    if meaning.kind == "vectors":
        return 1 - likeness(task, meaning, wanted, came, split)
    differences = compare(task, _without_padding(wanted, split), came, meaning.model_copy(update=_OF_CLASSES))
    assert differences.row_kl is not None, "classes have one, but for chances"
    return float(differences.row_kl.mean())


def _without_padding(answers: Answers, split: Split) -> Answers:
    """The same with NaN for tokens that a row does not have."""
    if answers.ndim != 3 or split.lengths is None:
        return answers
    real = np.arange(answers.shape[1]) < split.lengths[:, None]
    return np.where(real[..., None], answers, np.float32(np.nan))


def _agreement(top: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    if wanted.ndim == 2:
        wanted = wanted[:, : top.shape[1]]
    counted = wanted != IGNORE
    return float((top == wanted)[counted].mean())
