"""Duplicate: a copy of a module, whatever torch keeps in it."""

import copy

import torch


def duplicate(module: torch.nn.Module) -> torch.nn.Module:
    """A copy that shares nothing with the module."""
    # A weight that is computed from parameters (torch.nn.utils.weight_norm) refuses to be copied as it is.
    computed = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    return copy.deepcopy(module, dict(computed))
