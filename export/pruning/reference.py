"""Reference: the whole model, beside which a changed one is held."""

import torch

from export.forward import Tensors, forward
from export.pruning.duplicate import duplicate

Answers = tuple[torch.Tensor, ...]
# Of the largest answer in the same place: far above rounding, far below what a wrong channel does.
_NOISE = {torch.float64: 1e-6, torch.float32: 1e-4}
# Of the largest anywhere: rounding.
_ROUNDING = {torch.float64: 1e-13, torch.float32: 1e-5}


class Reference:
    """A copy of a module and some rows in double precision, where rounding hides nothing; as they are, where
    the model's own code insists on its precision."""

    def __init__(self, module: torch.nn.Module, rows: Tensors) -> None:
        self.module = duplicate(module.eval()).double()
        self._precision = torch.float64
        self._rows = {
            name: value.double() if value.is_floating_point() else value for name, value in rows.items()
        }
        try:
            self.answer()
        except Exception:  # whatever the model's own code runs into
            self.module, self._precision, self._rows = duplicate(module), torch.float32, rows

    def answer(self) -> Answers:
        """What the copy answers, with whatever hooks it has now."""
        return self.answer_of(self.module)

    def answer_of(self, module: torch.nn.Module) -> Answers:
        """What the changed module answers in the same precision, to which it is brought in place."""
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            return forward(module.to(self._precision), self._rows)

    def find_difference(self, came: Answers, wanted: Answers) -> str | None:
        """How far apart the answers are, if it is more than rounding."""
        if [one.shape for one in came] != [one.shape for one in wanted]:
            return "the outputs have another shape"
        for one, other in zip(came, wanted, strict=True):
            # A column of huge numbers, as where classes are masked, must not hide what the others do.
            places = other.double().abs().reshape(-1, other.shape[-1] if other.dim() > 1 else 1)
            off = (one.double() - other.double()).abs().reshape(places.shape)
            largest = places.amax(0)
            allowed = _NOISE[self._precision] * largest + _ROUNDING[self._precision] * largest.max()
            # Also when one of them is NaN.
            if not bool((off <= allowed).all()):
                worst = int((off - allowed).nan_to_num(float("inf")).amax(0).argmax())
                by, among = float(off[:, worst].max()), float(largest[worst])
                return f"the answers are off by {by:.2g} (the largest is {among:.2g})"
        return None
