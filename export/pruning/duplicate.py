"""Copies modules, including those with computed weights."""

import copy

import torch


def duplicate(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy that shares nothing with the module."""
    # torch cannot copy a weight that is computed from parameters (torch.nn.utils.weight_norm).
    computed = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    return copy.deepcopy(module, dict(computed))
