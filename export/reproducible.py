"""Makes the same recipe give the same bytes in every process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def reproducible(threads: int = 1) -> Iterator[None]:
    """Make torch deterministic while the context lasts; its settings are restored afterwards.

    Sums are split among threads, so the number of threads is part of the result and never the machine's
    own."""
    before = torch.get_num_threads()
    mode = torch.get_deterministic_debug_mode()
    torch.set_num_threads(threads)
    # Equivalent to torch.use_deterministic_algorithms(True), which takes a second to import torch's compiler.
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.set_num_threads(before)


def seed_everything(seed: int) -> None:
    """Seed all random generators, so that a step's result does not depend on earlier steps."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
