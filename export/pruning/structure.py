"""Structure: channels or heads that really leave the graph, by a ratio or until a row costs a given share."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from pydantic import JsonValue

from export.context import Context, Made
from export.errors import StepFailed
from export.forward import Tensors
from export.pruning.channels import Channels, Coupled, rank, spread
from export.pruning.example import example_of
from export.pruning.heads import find_heads, rank_heads, remove_heads
from export.pruning.importance import Worth, weigh
from export.pruning.multiply_adds import count_multiply_adds
from export.pruning.weakest import Removed, plan_removal
from export.step import Prune

# Of the ratio: finer than the channels of any layer.
_HALVINGS = 14


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Importances by the layer that has the channels or heads, and which layers are ranked together."""

    importances: Mapping[str, torch.Tensor]
    together: tuple[tuple[str, ...], ...]
    # Of channels: which they are coupled with.
    coupled: tuple[Coupled, ...] = ()


class Structure:
    """What a prune step of channels or heads remembers from its first round to its last."""

    def __init__(self, module: torch.nn.Module, settings: Prune, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._example = example_of(context.data.calibration)
        self._cost = count_multiply_adds(module, context.data.calibration)
        self._sizes: dict[str, int] = {}

    def prune(self, made: Made, progress: float) -> Made:
        """`made`, changed in place, with `progress` (0 to 1) of what the settings ask for gone, counted from
        the first round on. Raises StepFailed when nothing goes."""
        worth = weigh(made.module, self._settings.importance, self._context)
        ranking = _rank(made.module, self._settings, self._example, worth)
        self._sizes = self._sizes or {name: len(each) for name, each in ranking.importances.items()}
        if self._settings.multiply_adds is None:
            assert self._settings.ratio is not None, "channels and heads go by ratio or by multiply-adds"
            removed = self._plan(ranking, self._settings.ratio * progress)
        else:
            share = 1 - (1 - self._settings.multiply_adds) * progress
            removed = self._search(made.module, ranking, share)
        if not removed:
            raise StepFailed(
                f"{self._settings.remove}: the share that was asked for is less than one of the "
                f"{', '.join(str(size) for size in self._sizes.values())} in each of "
                f"{', '.join(self._sizes)}, and one always stays: nothing was removed; ask for more, or drop "
                "the step"
            )
        remove(made.module, self._settings.remove, removed, self._example)
        found: dict[str, JsonValue] = {name: list(indices) for name, indices in removed.items()}
        return replace(made, surgery=(*made.surgery, {"kind": self._settings.remove, "removed": found}))

    def _plan(self, ranking: Ranking, ratio: float) -> Removed:
        removed = plan_removal(ranking.importances, ranking.together, self._sizes, ratio)
        return spread(ranking.coupled, removed)

    def _search(self, module: torch.nn.Module, ranking: Ranking, share: float) -> Removed:
        """The smallest removal found that leaves at most this share of the first multiply-adds."""
        everything = self._plan(ranking, 1.0)
        if (least := self._measure(module, everything)) > share:
            raise StepFailed(
                f"multiply_adds {self._settings.multiply_adds}: even with one of the {self._settings.remove} "
                f"left in each of {', '.join(self._sizes)}, {least:.1%} of the multiply-adds stay; ask for "
                "more than that, or widen `layers`"
            )

        def fits(removed: Removed) -> bool:
            return self._measure(module, removed) <= share

        less, more = _narrow({}, everything, lambda part: self._plan(ranking, part), fits)
        # Layers of one size lose a channel at the same ratio; so from here on one layer after the other.
        names = list(more)
        return _narrow(
            less,
            more,
            lambda part: less | {name: more[name] for name in names[: int(part * len(names))]},
            fits,
        )[1]

    def _measure(self, module: torch.nn.Module, removed: Removed) -> float:
        trial = copy.deepcopy(module)
        remove(trial, self._settings.remove, removed, self._example)
        return count_multiply_adds(trial, self._context.data.calibration) / self._cost


def remove(module: torch.nn.Module, what: str, removed: Mapping[str, list[int]], example: Tensors) -> None:
    """Remove these `channels` or `heads` of these layers, in place, and all that depends on them."""
    if what == "heads":
        remove_heads(module, removed)
    else:
        Channels(module, example).remove(removed)


def _narrow(
    less: Removed, more: Removed, between: Callable[[float], Removed], fits: Callable[[Removed], bool]
) -> tuple[Removed, Removed]:
    """The two removals on either side of where they begin to fit, found by halving what is between a
    smaller one that does not fit and a larger one that does."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        removed = between(middle)
        if removed == more or (removed != less and fits(removed)):
            high, more = middle, removed
        else:
            low, less = middle, removed
    return less, more


def _rank(module: torch.nn.Module, settings: Prune, example: Tensors, worth: Worth) -> Ranking:
    coupled: tuple[Coupled, ...] = ()
    if settings.remove == "heads":
        found = find_heads(module, settings)
        importances = {heads.name: rank_heads(heads, worth) for heads in found}
        kinds: dict[str, tuple[str, ...]] = {heads.name: ("heads",) for heads in found}
    else:
        coupled = tuple(Channels(module, example).find(settings))
        importances = {item.name: rank(module, item, worth) for item in coupled}
        kinds = {item.name: item.kind for item in coupled}
    if settings.scope == "layer":
        together = [[name] for name in importances]
    else:
        together = [
            [name for name in importances if kinds[name] == kind] for kind in dict.fromkeys(kinds.values())
        ]
    return Ranking(importances=importances, together=tuple(map(tuple, together)), coupled=coupled)
