"""Reproducible computation: its seeds and settings."""

import random

import numpy as np
import torch

from export.reproducible import reproducible, seed_everything


def test_settings_hold_inside_and_are_restored() -> None:
    """In the context torch is deterministic with one thread, and its settings are restored afterwards."""
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    with reproducible():
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (1, True)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_seed_starts_every_generator_over() -> None:
    """The same seed gives the same numbers in Python, numpy and torch."""
    draws = []
    for _ in range(2):
        seed_everything(3)
        draws.append((random.random(), np.random.rand(), float(torch.rand(1))))
    assert draws[0] == draws[1]
