"""Scores: how good a module is on the search split, one number, more is better."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.labels import IGNORE
from export.training.answers import Answers, module_answers
from serve.figures import Task

Score = Callable[[torch.nn.Module], float]


def accuracy_of(module: torch.nn.Module, split: Split) -> float:
    """The share of rows (or tokens) whose top class in the first output is their label."""
    assert split.labels is not None, "the caller asked for labels"
    return _agreement(module_answers(module, split).argmax(-1), split.labels)


def likeness_to(task: Task, answers: Answers, split: Split) -> Score:
    """How much alike a module answers: the share of rows or tokens with the same top class, or, for
    embeddings, the mean cosine."""
    if task == "embedding":
        return lambda module: _mean_cosine(module_answers(module, split), answers)
    top = answers.argmax(-1)
    if top.ndim == 2 and split.lengths is not None:
        top[np.arange(top.shape[1]) >= split.lengths[:, None]] = IGNORE
    return lambda module: _agreement(module_answers(module, split).argmax(-1), top)


def _agreement(top: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    if wanted.ndim == 2:
        wanted = wanted[:, : top.shape[1]]
    counted = wanted != IGNORE
    return float((top == wanted)[counted].mean())


def _mean_cosine(one: Answers, other: Answers) -> float:
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(np.mean(np.sum(one * other, axis=-1) / np.maximum(lengths, np.finfo(np.float32).tiny)))
