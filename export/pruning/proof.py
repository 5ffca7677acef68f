"""Proof: what is left of a model answers like the whole model with the channels that went at zero."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_map

from export.errors import StepFailed
from export.forward import Tensors
from export.pruning.duplicate import duplicate
from export.pruning.reference import Reference
from export.pruning.weakest import Removed

# What sums over channels. All else passes them on one by one, or is not understood: then the proof fails.
_READERS = (
    _ConvNd,
    torch.nn.Linear,
    torch.nn.Bilinear,
    torch.nn.RNNBase,
    torch.nn.RNNCellBase,
    torch.nn.MultiheadAttention,
)


class Proof:
    """Tries removals on copies of a module, and keeps those that change nothing but what they remove."""

    def __init__(
        self,
        module: torch.nn.Module,
        rows: Tensors,
        remove: Callable[[torch.nn.Module, Removed], object],
        produced: Callable[[Removed], Removed],
    ) -> None:
        """`remove` does a removal in place; `produced` says which channels each layer no longer produces."""
        self._module = module
        self._remove = remove
        self._produced = produced
        self._reference = Reference(module, rows)

    def keep(self, removed: Removed) -> tuple[Removed, dict[str, str]]:
        """As much of `removed` as is right together, and why each of the others is not."""
        left: dict[str, str] = {}
        return self._grow({}, list(removed.items()), left), left

    def _grow(self, kept: Removed, items: list[tuple[str, list[int]]], left: dict[str, str]) -> Removed:
        if not items:
            return kept
        together = kept | dict(items)
        fault = self._find_fault(together)
        if fault is None:
            return together
        if len(items) == 1:
            left[items[0][0]] = fault
            return kept
        half = len(items) // 2
        return self._grow(self._grow(kept, items[:half], left), items[half:], left)

    def _find_fault(self, removed: Removed) -> str | None:
        trial = duplicate(self._module)
        try:
            self._remove(trial, removed)
        except StepFailed as error:
            return str(error)
        try:
            came = self._reference.answer_of(trial)
        except Exception:  # whatever the model's own code runs into
            return "the layers behind it do not fit any more"
        try:
            with silenced(self._reference.module, self._produced(removed)):
                wanted = self._reference.answer()
        except Exception:  # it may look at its numbers
            return "the whole model does not run with some of its channels at zero"
        off = self._reference.find_difference(came, wanted)
        return off and f"what follows moves, mixes or averages its channels: with some at zero {off}"


@contextmanager
def silenced(module: torch.nn.Module, channels: Mapping[str, list[int]]) -> Iterator[None]:
    """Inside, whatever layer of the module sums over channels reads 0 where these channels of these layers
    went in, through whatever they went: behind a norm, bias or activation 0 would be another number by then.

    So they are marked with NaN, which everything passes on, and each layer that sums takes NaN for 0."""
    with ExitStack() as stack:
        for part in module.modules():
            if isinstance(part, _READERS):
                handle = part.register_forward_pre_hook(_read_zeros, with_kwargs=True)
                stack.callback(handle.remove)
        for name, indices in channels.items():
            layer = module.get_submodule(name)
            stack.callback(layer.register_forward_hook(_mark(layer, indices)).remove)
        yield


def _read_zeros(_: torch.nn.Module, args: Any, kwargs: Any) -> Any:
    return tree_map(_replace_nan, (args, kwargs))


def _replace_nan(value: object) -> object:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.masked_fill(value.isnan(), 0)
    return value


def _mark(layer: torch.nn.Module, indices: list[int]) -> Callable[..., torch.Tensor]:
    # From the end: a batch may be missing, or have several dimensions.
    axis = -1 - len(layer.kernel_size) if isinstance(layer, _ConvNd) else -1

    def mark(_: torch.nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        return output.index_fill(axis, torch.tensor(indices), torch.nan)

    return mark
