"""Provides two real rows on which a model's answers are compared before and after a change."""

import numpy as np
import torch

from export.data.datasets import Split
from export.errors import StepFailed
from export.forward import Tensors, forward, to_tensors

_ROWS = 2


def example_of(split: Split, rows: int = _ROWS) -> Tensors:
    """Return the first rows, at least two; a single row is repeated, because torch treats a batch of one as a
    constant."""
    return to_tensors(split.take(np.arange(rows, dtype=np.int64) % len(split)))


def output_shapes(module: torch.nn.Module, example: Tensors) -> list[list[int]]:
    """Return the shape of each of the module's outputs."""
    with torch.no_grad():
        return [list(output.shape) for output in forward(module, example)]


def require_shapes(module: torch.nn.Module, example: Tensors, shapes: list[list[int]], advice: str) -> None:
    """Raise StepFailed with this advice unless the module still runs and its outputs have these shapes."""
    try:
        actual = output_shapes(module, example)
    except Exception as error:  # whatever the model's own code runs into
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise StepFailed(f"{type(module).__name__} no longer runs: {reason}; {advice}") from error
    if actual != shapes:
        raise StepFailed(f"the outputs changed from {shapes} to {actual}; {advice}")
