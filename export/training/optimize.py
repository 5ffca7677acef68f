"""Selects the trained parameters, the optimizer and the learning rate of each batch."""

import math
from fnmatch import fnmatchcase

import torch
from torch.nn.modules.batchnorm import _NormBase

from export.errors import StepFailed
from export.onnx.patterns import match
from export.step import Training

Parameters = dict[str, torch.nn.Parameter]


def find_trainable(module: torch.nn.Module, settings: Training) -> Parameters:
    """Return the parameters to train, by name. Raises StepFailed if a pattern of `freeze` matches nothing, or
    nothing is left."""
    parameters = dict(module.named_parameters())
    # The statistics of a norm can be frozen like parameters; a norm without weights has nothing else.
    named = (*parameters, *(name for name, _ in module.named_buffers()))
    frozen = set(match(settings.freeze, named, "parameters and buffers")) & set(parameters)
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


def find_held(module: torch.nn.Module, settings: Training, trained: Parameters) -> list[torch.nn.Module]:
    """Return the norms whose statistics stay unchanged: those without trained parameters.

    A norm without parameters is selected by the names of its statistics in `freeze`, otherwise by its parent
    module."""
    learning = {id(value) for value in trained.values()}
    buffers = [name for name, _ in module.named_buffers()]
    frozen = {name for name in buffers if any(fnmatchcase(name, pattern) for pattern in settings.freeze)}

    def is_held(name: str) -> bool:
        own = [id(value) for value in module.get_submodule(name).parameters()]
        if own or not name:
            return not learning & {*own}
        return is_held(name.rpartition(".")[0])

    return [
        norm
        for name, norm in module.named_modules()
        if isinstance(norm, _NormBase)
        and (is_held(name) or any(f"{name}.{key}" in frozen for key, _ in norm.named_buffers(recurse=False)))
    ]


def make_optimizer(parameters: list[torch.nn.Parameter], settings: Training) -> torch.optim.Optimizer:
    """Make the recipe's optimizer. Weight decay applies to matrices and kernels only, not to biases and
    norms."""
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
    """Return the weights among the parameters (two dimensions or more), without biases and factors of
    norms."""
    return [value for value in parameters if value.ndim >= 2]


def learning_rate_at(settings: Training, batch: int, batches: int) -> float:
    """Return the learning rate of a batch, counted from 0 over the whole training."""
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
