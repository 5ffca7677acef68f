"""Reference: the whole model, beside which a changed one is held."""

import torch

from export.forward import Tensors, forward
from export.nearness import largest_apart
from export.pruning.duplicate import duplicate

Answers = tuple[torch.Tensor, ...]
# Of what is usual in the same place: far above rounding, far below what a wrong channel does. In double
# precision, and in whatever the model has.
_NOISE, _MORE_NOISE = 1e-6, 1e-4


class Reference:
    """A copy of a module and some rows in double precision, where rounding hides nothing; as they are, where
    the model's own code insists on its precision."""

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
        """What the copy answers, with whatever hooks it has now."""
        return self.answer_of(self.module)

    def answer_of(self, module: torch.nn.Module) -> Answers:
        """What the changed module answers in the same precision, to which it is brought in place."""
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            return forward(module.double() if self._double else module, self._rows)

    def find_difference(self, came: Answers, wanted: Answers) -> str | None:
        """How far apart the answers are, if it is more than rounding."""
        if [one.shape for one in came] != [one.shape for one in wanted]:
            return "the outputs have another shape"
        for one, other in zip(came, wanted, strict=True):
            share = largest_apart(one.numpy(), other.numpy())
            if share > (_NOISE if self._double else _MORE_NOISE):
                return f"the answers are off by {share:.2g} of a value"
        return None
