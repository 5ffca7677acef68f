"""Dropout, switched off: who learns from a teacher has no labels to learn by heart; noise only slows it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.modules.dropout import _DropoutNd


@contextmanager
def no_dropout(module: torch.nn.Module) -> Iterator[None]:
    """Inside, nothing in `module` is dropped, in training mode either."""
    before: list[tuple[torch.nn.Module, str, float]] = []
    for part in module.modules():
        # Probabilities and not modes: attention reads the one of its dropout and the mode of itself.
        name = (
            "p" if isinstance(part, _DropoutNd) else "dropout" if isinstance(part, torch.nn.RNNBase) else ""
        )
        if name:
            before.append((part, name, getattr(part, name)))
            setattr(part, name, 0.0)
    try:
        yield
    finally:
        for part, name, probability in before:
            setattr(part, name, probability)
