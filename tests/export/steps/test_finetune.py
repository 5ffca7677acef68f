"""Fine-tuning learns, keeps the best epoch, and does the same each time."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from export.datasets import Data, read_data
from export.errors import StepFailed
from export.recipe import Finetune
from export.recipes.digits import digits_model
from export.reproducible import reproducible, seed_everything
from export.steps.finetune import accuracy_of, finetune


def settings(**changes: Any) -> Finetune:
    """Two epochs of training, some settings changed."""
    usual = {"step": "finetune", "epochs": 2, "learning_rate": 0.01, "batch_size": 64}
    return Finetune.model_validate(usual | changes)


def model() -> torch.nn.Module:
    """A small network, the same each time."""
    seed_everything(0)
    return digits_model([4, 4, 4], 8)


def toy(search_labels: list[int]) -> Data:
    """Two classes, told apart by the sign of one number."""
    splits: dict[str, Any] = {
        name: ({"x": np.array([[-1], [1]], np.float32) * (number + 1)}, [0, 1])
        for number, name in enumerate(("train", "calibration", "held_out"))
    }
    splits["search"] = ({"x": np.array([[-9], [9]], np.float32)}, search_labels)
    return read_data(splits, "make")


def test_learns(data: Data) -> None:
    """Two epochs make a useful classifier of an untrained network."""
    assert accuracy_of(finetune(model(), settings(), data.train, data.search, 0), data.held_out) > 0.5


def test_the_same_seed_gives_the_same_weights(data: Data) -> None:
    """Two runs agree bit for bit, and another seed draws other batches."""
    with reproducible():
        one, same, other = (
            finetune(model(), settings(epochs=1), data.train, data.search, seed).state_dict()
            for seed in (1, 1, 2)
        )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_keeps_the_best_epoch() -> None:
    """A search split that disagrees with the training is answered best by the first epoch."""
    start = torch.nn.Linear(1, 2)
    start.load_state_dict({"weight": torch.tensor([[0.3], [-0.3]]), "bias": torch.zeros(2)})
    contrary = toy(search_labels=[1, 0])
    trained = finetune(start, settings(epochs=40, learning_rate=0.1), contrary.train, contrary.search, 0)
    assert accuracy_of(trained, contrary.search) == 1


def test_equally_good_epochs_go_to_the_last() -> None:
    """Training on while the search split cannot tell still sharpens the weights."""
    start = torch.nn.Linear(1, 2)
    start.load_state_dict({"weight": torch.tensor([[-0.3], [0.3]]), "bias": torch.zeros(2)})
    agreeing = toy(search_labels=[0, 1])
    short = copy.deepcopy(start)
    finetune(short, settings(epochs=1), agreeing.train, agreeing.search, 0)
    finetune(start, settings(epochs=20), agreeing.train, agreeing.search, 0)
    assert start.weight[1, 0] > short.weight[1, 0]


def test_divergence_is_an_error() -> None:
    """A loss that is no number is refused with the epoch and the way out."""
    rows = toy(search_labels=[0, 1])
    with pytest.raises(
        StepFailed, match=r"the loss became (nan|inf) in epoch \d: .*lower learning_rate from 1e\+36"
    ):
        finetune(torch.nn.Linear(1, 2), settings(epochs=9, learning_rate=1e36), rows.train, rows.search, 0)
