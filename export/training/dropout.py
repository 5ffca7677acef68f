"""Switches dropout off, since a student that learns from a teacher's answers cannot overfit labels, and noise
slows it down."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.modules.dropout import _DropoutNd


@contextmanager
def no_dropout(module: torch.nn.Module) -> Iterator[None]:
    """Disable dropout in `module` while the context lasts, in training mode, too."""
    before: list[tuple[torch.nn.Module, str, float]] = []
    for part in module.modules():
        # Probabilities are changed instead of modes, because attention reads the probability of its dropout
        # and its own mode.
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
