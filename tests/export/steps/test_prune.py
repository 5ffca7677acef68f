"""Pruning makes the model smaller and nothing else."""

import pytest
import torch

from export.datasets import Data
from export.errors import StepFailed
from export.forward import to_tensors
from export.pipeline import Outcome
from export.recipe import Prune
from export.recipes.digits import digits_model
from export.steps.prune import prune

HALF = Prune(step="prune", channels=0.5)


class TwoHeads(torch.nn.Module):
    """A shared layer, a reshaped head and a plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = torch.nn.Linear(4, 8)
        self.wide = torch.nn.Linear(8, 6)
        self.plain = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of [2, 3] and of [2]."""
        shared = torch.relu(self.shared(x))
        return self.wide(shared).reshape(-1, 2, 3).softmax(-1), self.plain(shared)


def test_removes_the_share_that_was_asked_for(data: Data) -> None:
    """Every layer loses half of its channels, the ten classes stay."""
    model = prune(digits_model(), HALF, to_tensors({"image": data.train.inputs["image"][:2].copy()}))
    convolutions = [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16, 32, 64]
    linears = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linears] == [56, 10]


def test_the_graph_really_is_smaller(outcome: Outcome) -> None:
    """Half of the channels is about a quarter of the weights, in parameters and in bytes."""
    full, slim = (outcome.model.bundles[name].figures for name in ("fp32", "slim"))
    assert slim.parameters < 0.3 * full.parameters
    assert slim.model_size_bytes < 0.3 * full.model_size_bytes


def test_finds_every_head() -> None:
    """Outputs keep their shape behind a reshape and when there are several."""
    model = prune(TwoHeads(), HALF, {"x": torch.ones(2, 4)})
    assert [list(output.shape) for output in model(torch.ones(5, 4))] == [[5, 2, 3], [5, 2]]
    assert model.get_submodule("shared").out_features == 4


def test_a_prune_that_changes_nothing_is_an_error() -> None:
    """A model that is all head has no channel to lose."""
    with pytest.raises(StepFailed, match=r"removed none of 15 parameters.*drop the step"):
        prune(torch.nn.Linear(4, 3), HALF, {"x": torch.ones(2, 4)})
