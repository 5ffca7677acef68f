"""Finds and shortens the stack of equal layers in a network."""

import copy
from collections.abc import Sequence

import torch

from export.errors import StepFailed
from serve.base.record import nearest

Stack = torch.nn.ModuleList | torch.nn.Sequential


def find_stack(module: torch.nn.Module, name: str | None) -> tuple[str, Stack]:
    """Return the list called `name`, or the longest one (of equal ones, that with most parameters), and its
    dotted name.

    Its members, at least two, have the same class. Raises StepFailed if there is none."""
    stacks = {
        path: child
        for path, child in module.named_modules()
        if isinstance(child, torch.nn.ModuleList | torch.nn.Sequential) and _is_stack(child)
    }
    if name is None:
        if not stacks:
            raise StepFailed(
                f"{type(module).__name__} has no ModuleList or Sequential of two or more layers of one "
                "class, so its depth cannot change; remove the step"
            )
        name = max(stacks, key=lambda path: (len(stacks[path]), _count(stacks[path])))
    if name not in stacks:
        raise StepFailed(
            f"{name!r} is not a ModuleList or Sequential of two or more layers of one class in "
            f"{type(module).__name__}; {nearest(name, stacks)}"
        )
    return name, stacks[name]


def keep_layers(module: torch.nn.Module, name: str, kept: Sequence[int]) -> None:
    """Keep only these layers in the list called `name`, in place, and update layer numbers and configured
    counts."""
    stack = module.get_submodule(name)
    assert isinstance(stack, torch.nn.ModuleList | torch.nn.Sequential), "find_stack gave the name"
    before = len(stack)
    for index in reversed(range(before)):
        if index not in kept:
            del stack[index]
    for index, layer in enumerate(stack):
        for part in layer.modules():
            if isinstance(vars(part).get("layer_idx"), int):
                vars(part)["layer_idx"] = index
    _correct_configs(module, before, list(kept))


def _correct_configs(module: torch.nn.Module, before: int, kept: list[int]) -> None:
    # The configuration is copied, because other models may share it.
    copies: dict[int, object] = {}
    for part in module.modules():
        config = vars(part).get("config")
        if getattr(config, "num_hidden_layers", None) == before:
            if id(config) not in copies:
                copies[id(config)] = _shorten(copy.deepcopy(config), before, kept)
            vars(part)["config"] = copies[id(config)]


def _shorten(config: object, before: int, kept: list[int]) -> object:
    kinds = getattr(config, "layer_types", None)
    # The list comes first: transformers checks that the two agree.
    if isinstance(kinds, list) and len(kinds) == before:
        vars(config)["layer_types"] = [kinds[index] for index in kept]
    setattr(config, "num_hidden_layers", len(kept))  # noqa: B010 - other libraries' configurations
    return config


def _is_stack(layers: Stack) -> bool:
    return len(layers) >= 2 and len({type(layer) for layer in layers}) == 1


def _count(layers: Stack) -> int:
    return sum(parameter.numel() for parameter in layers.parameters())
