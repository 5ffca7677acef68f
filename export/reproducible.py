"""Reproducible: the same recipe gives the same bytes, in every process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def reproducible(threads: int = 1) -> Iterator[None]:
    """Inside, torch computes the same way each time; afterwards its settings are as they were.

    Sums are split by thread, so their number is part of the result and never the machine's own."""
    before = torch.get_num_threads()
    mode = torch.get_deterministic_debug_mode()
    torch.set_num_threads(threads)
    # As torch.use_deterministic_algorithms(True), which imports torch's compiler for a second.
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.set_num_threads(before)


def seed_everything(seed: int) -> None:
    """Start all random draws over, so that a step's result does not depend on what ran before it."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
