"""Proves that a pruned model answers like the full model with the removed channels at zero."""

from collections.abc import Callable

import torch

from export.errors import StepFailed
from export.forward import Tensors
from export.pruning.duplicate import duplicate
from export.pruning.reference import Reference
from export.pruning.weakest import Removed
from export.pruning.zeroed_channels import silenced


class Proof:
    """Tries removals on copies of a module, and keeps those that have no other effect."""

    def __init__(
        self,
        module: torch.nn.Module,
        rows: Tensors,
        remove: Callable[[torch.nn.Module, Removed], object],
        produced: Callable[[Removed], Removed],
    ) -> None:
        """`remove` does a removal in place; `produced` returns the channels that each layer no longer
        produces."""
        self._module = module
        self._remove = remove
        self._produced = produced
        self._reference = Reference(module, rows)

    def keep(self, removed: Removed) -> tuple[Removed, dict[str, str]]:
        """Return the part of `removed` that is correct together, and why the rest is not."""
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
            actual = self._reference.answer_of(trial)
        except Exception:  # whatever the model's own code runs into
            return "the following layers no longer fit"
        try:
            with silenced(self._reference.module, self._produced(removed)):
                expected = self._reference.answer()
        except Exception:  # it may look at its numbers
            return "the full model does not run with some of its channels at zero"
        off = self._reference.find_difference(actual, expected)
        return off and f"the following layers move, mix or average its channels: with some at zero {off}"
