"""Reproducible: the same recipe gives the same bytes, in every process and on any number of cores."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# Sums are split by thread, so the count is part of the result and never the machine's own. More than one
# would also spin at barriers: where cores are shared, that is slower than one.
THREADS = 1


@contextmanager
def reproducible() -> Iterator[None]:
    """Inside, torch computes the same way each time; afterwards its settings are as they were."""
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)


def seed_everything(seed: int) -> None:
    """Start all random draws over, so that a step's result does not depend on what ran before it."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
