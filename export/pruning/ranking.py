"""Ranks the channels or heads that may be removed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch

from export.forward import Tensors
from export.pruning.attention_heads import Heads, find_heads, find_values, rank_heads
from export.pruning.channel_groups import Coupled, find_produced, rank, spread
from export.pruning.channels import Channels
from export.pruning.importance import Worth
from export.pruning.weakest import Removed
from export.step import Prune


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Importances by layer, and which layers are ranked together."""

    importances: Mapping[str, torch.Tensor]
    together: tuple[tuple[str, ...], ...]
    # Layers selected by the settings that can lose nothing, with the reason.
    whole: Mapping[str, str]
    # The groups of coupled channels; empty for heads.
    coupled: tuple[Coupled, ...] = ()
    heads: tuple[Heads, ...] = ()

    def drop(self, names: Collection[str]) -> Self:
        """Return the ranking without these layers."""
        together = (tuple(name for name in group if name not in names) for group in self.together)
        return replace(
            self,
            importances={name: each for name, each in self.importances.items() if name not in names},
            together=tuple(group for group in together if group),
        )

    def describe(self, name: str) -> str:
        """Return all layers that lose channels together with this one."""
        layers = next((item.layers for item in self.coupled if item.name == name), {name})
        return ", ".join(sorted(layers))

    def find_produced(self, removed: Removed) -> Removed:
        """Return the channels that each layer no longer produces after this removal."""
        if self.heads:
            return find_values(self.heads, removed)
        return find_produced(self.coupled, spread(self.coupled, removed))


def make_ranking(module: torch.nn.Module, settings: Prune, example: Tensors, worth: Worth) -> Ranking:
    """Rank what the settings allow to remove. Raises StepFailed if that is nothing."""
    heads: tuple[Heads, ...] = ()
    coupled: tuple[Coupled, ...] = ()
    if settings.remove == "heads":
        heads, whole = find_heads(module, settings)
        importances = {item.name: rank_heads(item, worth) for item in heads}
        kinds: dict[str, tuple[str, ...]] = {item.name: ("heads",) for item in heads}
    else:
        coupled, whole = Channels(module, example).find(settings)
        importances = {item.name: rank(module, item, worth) for item in coupled}
        kinds = {item.name: item.kind for item in coupled}
    together = (
        [[name] for name in importances]
        if settings.scope == "layer"
        else [[name for name in importances if kinds[name] == kind] for kind in dict.fromkeys(kinds.values())]
    )
    return Ranking(
        importances=importances,
        together=tuple(map(tuple, together)),
        whole=whole,
        coupled=coupled,
        heads=heads,
    )
