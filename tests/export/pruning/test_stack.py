"""How the list of equal layers is found."""

import pytest
import torch

from export.errors import StepFailed
from export.pruning.stack import find_stack


class Network(torch.nn.Module):
    """Two lists of three, the second wider, a longer mixed one, and a short one."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
        self.wide = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))
        self.mixed = torch.nn.Sequential(*(torch.nn.Linear(9, 9), torch.nn.ReLU()) * 3)
        self.short = torch.nn.ModuleList([torch.nn.Linear(9, 9)])


def test_takes_the_longest_and_of_equals_the_one_with_most_parameters() -> None:
    """The longest list is taken, and of equal ones the one with the most parameters."""
    network = Network()
    assert find_stack(network, None) == ("wide", network.wide)


def test_takes_the_one_that_was_named() -> None:
    """A stack that is given by its name is used."""
    assert find_stack(Network(), "narrow")[0] == "narrow"


@pytest.mark.parametrize("name", ["mixed", "short", "wid"])
def test_a_name_that_is_no_stack(name: str) -> None:
    """The error for a wrong name lists the stacks."""
    with pytest.raises(
        StepFailed, match=rf"'{name}' is not a ModuleList .*(did you mean 'wide'|known: narrow)"
    ):
        find_stack(Network(), name)


def test_a_network_without_one() -> None:
    """A network without a stack is refused, because its depth cannot change."""
    with pytest.raises(StepFailed, match="Linear has no ModuleList or Sequential"):
        find_stack(torch.nn.Linear(2, 2), None)
