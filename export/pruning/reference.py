"""Runs the full model as the reference of a changed one."""

import torch

from export.answer_distance import largest_apart
from export.forward import Tensors, forward
from export.pruning.duplicate import duplicate

Answers = tuple[torch.Tensor, ...]
# Tolerance relative to the usual size in each place: far above rounding, far below the effect of a wrong
# channel; in double precision, and in the model's own.
_NOISE, _MORE_NOISE = 1e-6, 1e-4


class Reference:
    """A copy of a module and some rows in double precision, where rounding is negligible; in the original
    precision if the model's code requires it."""

    def __init__(self, module: torch.nn.Module, rows: Tensors) -> None:
        self.module = duplicate(module.eval()).double()
        self._double = True
        self._rows = {
            name: value.double() if value.is_floating_point() else value for name, value in rows.items()
        }
        try:
            self.answer()
        except Exception:  # whatever the model's own code runs into
            self.module, self._double, self._rows = duplicate(module), False, rows

    def answer(self) -> Answers:
        """Return the copy's answers, with its current hooks."""
        return self.answer_of(self.module)

    def answer_of(self, module: torch.nn.Module) -> Answers:
        """Return the changed module's answers in the same precision, to which it is converted in place."""
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            return forward(module.double() if self._double else module, self._rows)

    def find_difference(self, actual: Answers, expected: Answers) -> str | None:
        """Return the difference of the answers, if it exceeds rounding."""
        if [one.shape for one in actual] != [one.shape for one in expected]:
            return "the outputs have another shape"
        for one, other in zip(actual, expected, strict=True):
            share = largest_apart(one.numpy(), other.numpy())
            if share > (_NOISE if self._double else _MORE_NOISE):
                return f"the answers are off by {share:.2g} of a value"
        return None
