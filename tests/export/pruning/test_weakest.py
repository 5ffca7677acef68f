"""Exactly the requested number of the weakest is removed, and at least one stays."""

import torch

from export.pruning.weakest import find_weakest, plan_removal

TWO = {"a": torch.tensor([3.0, 1.0, 2.0]), "b": torch.tensor([0.5, 9.0])}


def test_takes_the_least_over_all_names() -> None:
    """The three weakest of five are found over all names."""
    assert find_weakest(TWO, 3) == {"a": [1, 2], "b": [0]}


def test_one_stays_in_each() -> None:
    """If all are requested, the strongest of each name stays."""
    assert find_weakest(TWO, 5) == {"a": [1, 2], "b": [0]}


def test_of_equals_the_first_go() -> None:
    """With equal importance the first ones are removed, and not more than requested."""
    assert find_weakest({"a": torch.ones(4)}, 2) == {"a": [0, 1]}


def test_counts_from_the_size_at_the_start() -> None:
    """The number to remove counts from the original size: half of four is one more, if three are left."""
    assert plan_removal({"a": torch.tensor([3.0, 1.0, 2.0])}, [["a"]], {"a": 4}, 0.5) == {"a": [1]}
