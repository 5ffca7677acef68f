"""Optimize: which parameters are trained, by what optimizer, and how fast in each batch."""

import math

import torch

from export.errors import StepFailed
from export.patterns import match
from export.step import Training

Parameters = dict[str, torch.nn.Parameter]


def find_trainable(module: torch.nn.Module, settings: Training) -> Parameters:
    """The parameters that are to change, by name. Raises StepFailed when a pattern of `freeze` fits none,
    or nothing is left."""
    parameters = dict(module.named_parameters())
    frozen = set(match(settings.freeze, parameters, "parameters"))
    trainable = {
        name: value for name, value in parameters.items() if name not in frozen and value.requires_grad
    }
    if not trainable:
        fixed = sum(not value.requires_grad for value in parameters.values())
        raise StepFailed(
            f"nothing is left to train: of {len(parameters)} parameters `freeze` holds {len(frozen)}, and "
            f"the model itself {fixed}; freeze fewer"
        )
    return trainable


def make_optimizer(parameters: list[torch.nn.Parameter], settings: Training) -> torch.optim.Optimizer:
    """The recipe's optimizer. Only matrices and kernels decay: biases and norms have no use for it."""
    groups = [
        {"params": weights_of(parameters), "weight_decay": settings.l2},
        {"params": [value for value in parameters if value.ndim < 2], "weight_decay": 0.0},
    ]
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, settings.learning_rate, settings.momentum)
        case "adam":
            return torch.optim.Adam(groups, settings.learning_rate, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, settings.learning_rate, fused=True)


def weights_of(parameters: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    """Those that are weights, not biases or factors of a norm: the ones with two dimensions or more."""
    return [value for value in parameters if value.ndim >= 2]


def learning_rate_at(settings: Training, batch: int, batches: int) -> float:
    """The learning rate in this one of all batches of the training, counted from 0."""
    rising = round(settings.warmup * batches)
    if batch < rising:
        return settings.learning_rate * (batch + 1) / rising
    done = (batch - rising) / (batches - rising)
    match settings.schedule:
        case "cosine":
            return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
        case "linear":
            return settings.learning_rate * (1 - done)
        case "constant":
            return settings.learning_rate
