"""Answers: the first output for every row of a split, from a torch module or from an ONNX graph."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.data.datasets import Split
from export.errors import StepFailed
from export.forward import forward, to_tensors
from export.training.batches import ordered_batches
from serve.base.tensor import Arrays
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph

Answers = NDArray[np.float32]


def module_answers(module: torch.nn.Module, split: Split) -> Answers:
    """The module's first output for every row, [rows, ...]; it is left in evaluation mode."""
    module.eval()

    def run(arrays: Arrays) -> Answers:
        with torch.no_grad():
            return forward(module, to_tensors(arrays))[0].numpy()

    return _collect(run, split)


def graph_answers(graph: Graph, split: Split) -> Answers:
    """The ONNX graph's first output for every row, [rows, ...]."""
    session = open_graph(graph, threads=torch.get_num_threads())
    first = session.get_outputs()[0].name

    def run(arrays: Arrays) -> Answers:
        answers: Answers = session.run([first], dict(arrays))[0]
        return answers

    return _collect(run, split)


def _collect(run: Callable[[Arrays], Answers], split: Split) -> Answers:
    """Batches of one length each, put where their rows stand; what a shorter batch lacks stays 0."""
    batches = [(rows, run(split.take(rows))) for rows in ordered_batches(split)]
    shape = np.max([answers.shape[1:] for _, answers in batches], axis=0)
    collected = np.zeros((len(split), *(int(size) for size in shape)), np.float32)
    for rows, answers in batches:
        if not np.isfinite(answers).all():
            raise StepFailed(
                f"the model answers with NaN or infinity, among rows {np.sort(rows)[:5].tolist()}; "
                "it overflows on real input: train it with a lower learning_rate"
            )
        where: tuple[Any, ...] = (rows, *(slice(size) for size in answers.shape[1:]))
        collected[where] = answers
    return collected
