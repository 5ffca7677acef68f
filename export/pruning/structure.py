"""Removes channels or heads from a model, by a ratio or until a row costs a given share."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from pydantic import JsonValue

from export.artifacts import Context, Made
from export.errors import StepFailed
from export.forward import Tensors
from export.pruning.attention_heads import remove_heads
from export.pruning.channel_groups import spread
from export.pruning.channels import Channels
from export.pruning.duplicate import duplicate
from export.pruning.importance import weigh
from export.pruning.kernel_widths import round_widths
from export.pruning.multiply_adds import count_multiply_adds
from export.pruning.proof import Proof
from export.pruning.ranking import Ranking, make_ranking
from export.pruning.traced_rows import example_of
from export.pruning.weakest import Removed, plan_removal
from export.step import Prune

# Bisection steps of the ratio: finer than the channels of any layer.
_HALVINGS = 14
# Number of rows on which a removal is proven.
_ROWS = 4
# The ratio at which removable layers are determined, before the search for a target cost.
_HALF = 0.5


class Structure:
    """The state of a prune step of channels or heads over its rounds."""

    def __init__(self, module: torch.nn.Module, settings: Prune, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._example = example_of(context.data.calibration)
        self._cost = count_multiply_adds(module, context.data.calibration)
        self._widths = _list_widths(module)
        # The initial number of channels or heads.
        self._sizes: dict[str, int] = {}
        # Layers selected by the settings that lose nothing, with the reason.
        self.whole: dict[str, str] = {}

    def prune(self, made: Made, progress: float) -> Made:
        """Return `made`, changed in place, with `progress` (0 to 1) of the total removal done, counted from
        the first round. Raises StepFailed if no removal can be proven."""
        module = made.module
        worth = weigh(module, self._settings.importance, self._context)
        ranking = make_ranking(module, self._settings, self._example, worth)
        self.whole |= ranking.whole
        self._note_sizes(module, ranking)
        proof = Proof(
            module,
            example_of(self._context.data.calibration, _ROWS),
            lambda trial, some: self._remove(trial, ranking, some),
            ranking.find_produced,
        )
        if self._settings.multiply_adds is None:
            assert self._settings.ratio is not None, "channels and heads go by ratio or by multiply-adds"
            removed = self._keep(ranking, proof, self._plan(ranking, self._settings.ratio * progress))[0]
        else:
            share = 1 - (1 - self._settings.multiply_adds) * progress
            removed = self._search_proven(module, ranking, proof, share)
        if not removed:
            raise StepFailed(self._explain_nothing())
        if progress == 1:
            self.whole = self._find_untouched(ranking, removed) | self.whole
        self._remove(module, ranking, removed)
        note: dict[str, JsonValue] = {
            name: list(indices) for name, indices in spread(ranking.coupled, removed).items()
        }
        return replace(made, surgery=(*made.surgery, {"kind": self._settings.remove, "removed": note}))

    def _note_sizes(self, module: torch.nn.Module, ranking: Ranking) -> None:
        """Record the initial sizes, including layers that can be ranked only in a later round, when they are
        narrower."""
        widths = _list_widths(module)
        for name, each in ranking.importances.items():
            lost = self._widths.get(name, 1) / widths.get(name, 1)
            self._sizes.setdefault(name, round(len(each) * lost))

    def _find_untouched(self, ranking: Ranking, removed: Removed) -> dict[str, str]:
        """Return the layers from which no round has removed anything, with the reason."""
        what = self._settings.remove
        return {
            ranking.describe(name): f"the requested share removes none of its {len(each)} {what}"
            for name, each in ranking.importances.items()
            if not removed.get(name) and len(each) >= self._sizes[name]
        }

    def _keep(self, ranking: Ranking, proof: Proof, removed: Removed) -> tuple[Removed, list[str]]:
        """Return the proven removals, and the names of the others."""
        kept, left = proof.keep(removed)
        self.whole |= {ranking.describe(name): fault for name, fault in left.items()}
        return kept, [*left]

    def _explain_nothing(self) -> str:
        if self.whole:
            names = {
                reason: ", ".join(name for name, its in self.whole.items() if its == reason)
                for reason in self.whole.values()
            }
            reasons = "; ".join(f"{name}: {reason}" for reason, name in names.items())
            return f"no {self._settings.remove} can be removed ({reasons}); select other `layers`"
        return (
            f"{self._settings.remove}: the requested share is less than one of the "
            f"{', '.join(str(size) for size in self._sizes.values())} in each of "
            f"{', '.join(self._sizes)}, and one always stays, so nothing was removed; increase the share, "
            "or remove the step"
        )

    def _plan(self, ranking: Ranking, ratio: float) -> Removed:
        removed = plan_removal(ranking.importances, ranking.together, self._sizes, ratio)
        if any(item.groups > 1 for item in ranking.coupled) or ranking.heads:
            # Here, an importance is that of a channel in each group, or of a head.
            return removed
        return round_widths(ranking.importances, removed, self._sizes)

    def _remove(self, module: torch.nn.Module, ranking: Ranking, removed: Removed) -> None:
        remove(module, self._settings.remove, spread(ranking.coupled, removed), self._example)

    def _search_proven(
        self, module: torch.nn.Module, ranking: Ranking, proof: Proof, share: float
    ) -> Removed:
        """Like `_search`, limited to proven removals."""
        left = self._keep(ranking, proof, self._plan(ranking, _HALF))[1]
        while True:
            ranking = ranking.drop(left)
            if not ranking.importances:
                return {}
            # The search tries ratios between half and this one, on copies that must run.
            left = self._keep(ranking, proof, self._plan(ranking, 1.0))[1]
            if left:
                continue
            removed, left = self._keep(ranking, proof, self._search(module, ranking, share))
            if not left:
                return removed

    def _search(self, module: torch.nn.Module, ranking: Ranking, share: float) -> Removed:
        """Return the smallest removal that leaves at most this share of the initial multiply-adds."""
        everything = self._plan(ranking, 1.0)
        if (least := self._measure(module, ranking, everything)) > share:
            raise StepFailed(
                f"multiply_adds {self._settings.multiply_adds}: even with one of the {self._settings.remove} "
                f"left in each of {', '.join(ranking.importances)}, {least:.1%} of the multiply-adds stay; "
                "ask for more than that, or widen `layers`"
            )

        def fits(removed: Removed) -> bool:
            return self._measure(module, ranking, removed) <= share

        less, more = _narrow({}, everything, lambda part: self._plan(ranking, part), fits)
        # Layers of equal size lose a channel at the same ratio, so from here on layers are added one by one.
        names = list(more)
        return _narrow(
            less,
            more,
            lambda part: less | {name: more[name] for name in names[: int(part * len(names))]},
            fits,
        )[1]

    def _measure(self, module: torch.nn.Module, ranking: Ranking, removed: Removed) -> float:
        """Return the remaining share of the initial multiply-adds; infinite if the rest does not run."""
        trial = duplicate(module)
        try:
            self._remove(trial, ranking, removed)
            return count_multiply_adds(trial, self._context.data.calibration) / self._cost
        except Exception:  # whatever the model's own code runs into
            return math.inf


def remove(module: torch.nn.Module, what: str, removed: Mapping[str, list[int]], example: Tensors) -> None:
    """Remove these `channels` or `heads` of these layers, and everything that depends on them, in place."""
    if what == "heads":
        remove_heads(module, removed)
    else:
        Channels(module, example).remove(removed)


def _list_widths(module: torch.nn.Module) -> dict[str, int]:
    """Return the number of channels that each layer produces."""
    return {
        name: width
        for name, part in module.named_modules()
        if isinstance(width := getattr(part, "out_channels", getattr(part, "out_features", None)), int)
    }


def _narrow(
    less: Removed, more: Removed, between: Callable[[float], Removed], fits: Callable[[Removed], bool]
) -> tuple[Removed, Removed]:
    """Bisect between a smaller removal that does not fit and a larger one that does; return the closest
    pair."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        removed = between(middle)
        if removed == more or (removed != less and fits(removed)):
            high, more = middle, removed
        else:
            low, less = middle, removed
    return less, more
