"""Coupled: channels that can only leave together, what they are worth, and which share a weight."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from export.pruning.importance import Worth
from export.pruning.weakest import Removed

# Every (layer, produced rather than read, its channels, the root's channels they belong to).
Part = tuple[str, bool, list[int], list[int]]


@dataclass(frozen=True, kw_only=True)
class Coupled:
    """Channels that can only leave together: of the layers that produce them and of all that read them."""

    # Of the layers from which they are followed, of which each loses the same ones; more than one where
    # these, or layers coupled with them, share a weight.
    roots: tuple[str, ...]
    # All layers that produce them.
    layers: frozenset[str]
    parts: tuple[Part, ...]
    # How many channels a root has, and in how many equal groups, of which each loses the same ones.
    size: int
    groups: int
    # Norms that take their mean and variance over them.
    norms: tuple[str, ...]
    # Of which classes the parts are: only what is built alike compares.
    kind: tuple[str, ...]

    @property
    def name(self) -> str:
        """The first root."""
        return self.roots[0]


def rank(module: torch.nn.Module, coupled: Coupled, worth: Worth) -> torch.Tensor:
    """The importance of each channel (of one group, where there are several): the worth of all weights that
    leave with it, over the mean of all channels, so that layers of different size compare."""
    total = torch.zeros(coupled.size)
    for name, produced, channels, roots in coupled.parts:
        weight = worth.get(f"{name}.weight")
        # A norm without weights.
        if weight is not None:
            each = _sum_channels(module.get_submodule(name), weight, produced)
            total.scatter_add_(0, torch.tensor(roots), each[torch.tensor(channels)])
    total = total.view(coupled.groups, -1).mean(0)
    return total / total.mean().clamp(min=torch.finfo(torch.float32).tiny)


def spread(coupled: Sequence[Coupled], removed: Removed) -> Removed:
    """The same channels of every group and of every root; names that are not coupled stay as they are."""
    spread_out = dict(removed)
    for item in coupled:
        if item.name in removed:
            width = item.size // item.groups
            indices = [group * width + index for group in range(item.groups) for index in removed[item.name]]
            spread_out |= dict.fromkeys(item.roots, indices)
    return spread_out


def find_produced(coupled: Sequence[Coupled], removed: Removed) -> Removed:
    """The channels that each layer no longer produces when these (as `spread` gives them) leave."""
    produced: dict[str, set[int]] = {}
    for item in coupled:
        gone = set(removed.get(item.name, ()))
        for name, is_produced, channels, roots in item.parts:
            if gone and is_produced and name in item.layers:
                here = {channel for channel, root in zip(channels, roots, strict=True) if root in gone}
                produced.setdefault(name, set()).update(here)
    return {name: sorted(channels) for name, channels in produced.items() if channels}


def join_shared(module: torch.nn.Module, coupled: Sequence[Coupled]) -> list[Coupled]:
    """The same, but what has a weight in common, with the same channels in the same place, is one: so the
    weight can stay one."""
    joined: list[Coupled] = []
    for item in coupled:
        for place, other in enumerate(joined):
            if _share(module, item, other):
                joined[place] = replace(
                    other,
                    roots=(*other.roots, *item.roots),
                    layers=other.layers | item.layers,
                    parts=(*other.parts, *item.parts),
                    norms=(*other.norms, *item.norms),
                    kind=(*other.kind, *item.kind),
                )
                break
        else:
            joined.append(item)
    return joined


def _share(module: torch.nn.Module, one: Coupled, other: Coupled) -> bool:
    if (one.size, one.groups) != (other.size, other.groups):
        return False
    return bool(_locate_weights(module, one) & _locate_weights(module, other))


def _locate_weights(module: torch.nn.Module, coupled: Coupled) -> set[tuple[object, ...]]:
    """Each weight, whether its rows or its columns leave, and which with which channel of the root."""
    return {
        (id(weight), produced, tuple(channels), tuple(roots))
        for name, produced, channels, roots in coupled.parts
        if (weight := module.get_submodule(name).weight) is not None
    }


def is_depthwise(part: object) -> bool:
    """Whether it is a convolution of every channel for itself."""
    return isinstance(part, _ConvNd) and part.groups == part.out_channels and part.groups > 1


def _sum_channels(part: torch.nn.Module, weight: torch.Tensor, produced: bool) -> torch.Tensor:
    if weight.ndim == 1:
        return weight
    if isinstance(part, _ConvTransposeNd):
        weight = weight.transpose(0, 1)
    if produced or is_depthwise(part):
        return weight.flatten(1).sum(1)
    each = weight.transpose(0, 1).flatten(1).sum(1)
    return each.repeat(part.groups) if isinstance(part, _ConvNd) else each
