"""Large layers keep numbers of channels that the runtime's kernels like."""

from typing import Any

import pytest
import torch

from export.pruning.kernel_widths import round_widths
from tests.export.pruning.conftest import ContextOf
from tests.export.pruning.test_channels import pruned, widths


def left(size: int, removed: int, first: int) -> int:
    """How many of `size` channels stay in a layer that had `first`, where `removed` are to go."""
    importances = {"a": torch.arange(size).float()}
    rounded = round_widths(importances, {"a": list(range(removed))}, {"a": first})
    indices = rounded.get("a", [])
    assert indices == list(range(len(indices)))
    return size - len(indices)


@pytest.mark.parametrize(
    ("size", "removed", "first", "stay"),
    [
        (128, 38, 128, 96),
        (128, 42, 128, 80),
        (512, 310, 512, 208),
        (64, 26, 64, 40),
        (64, 36, 64, 32),
        (62, 1, 128, 61),
        (32, 9, 32, 23),
        (512, 509, 512, 3),
    ],
    ids=["up", "down", "wide", "narrow", "less than wanted", "no more than there are", "small", "few"],
)
def test_the_nearest_multiple_stays(size: int, removed: int, first: int, stay: int) -> None:
    """Of 16 from 64 channels on, else of 8, in layers that had 64 or more; the weakest still go first."""
    assert left(size, removed, first) == stay


def test_what_would_be_nothing_is_not_rounded() -> None:
    """A small share of one layer is still removed."""
    assert left(64, 2, 64) == 62


@pytest.mark.parametrize("amount", [{"ratio": 0.3}, {"multiply_adds": 0.5, "scope": "global"}])
def test_a_pruned_network_has_such_layers(context_of: ContextOf, amount: dict[str, Any]) -> None:
    """Each layer of a network of 128 and 96 neurons keeps a multiple of 8."""
    context = context_of(
        lambda: torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(64, 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, 96),
            torch.nn.ReLU(),
            torch.nn.Linear(96, 10),
        )
    )
    first, second, _ = widths(pruned(context, **amount)).values()
    assert first % 8 == second % 8 == 0
    assert (first, second) != (128, 96)
