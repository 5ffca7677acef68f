"""Keeps shared parameters shared after a structural change."""

import torch

from export.errors import StepFailed


def find_ties(module: torch.nn.Module) -> list[list[str]]:
    """Return the names of every parameter that has several."""
    names: dict[int, list[str]] = {}
    for name, value in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(value), []).append(name)
    return [same for same in names.values() if len(same) > 1]


def tie(module: torch.nn.Module, ties: list[list[str]]) -> None:
    """Share the parameters of each list again, in place. Raises StepFailed if they now differ."""
    for first, *others in ties:
        shared = module.get_parameter(first)
        for name in others:
            value = module.get_parameter(name)
            if value.shape != shared.shape or not torch.equal(value, shared):
                raise StepFailed(f"{name} is {first} too, which would not lose the same")
            path, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(path), attribute, shared)
