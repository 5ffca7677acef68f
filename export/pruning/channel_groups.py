"""Groups of channels that can only be removed together: their importance, and shared weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from export.pruning.importance import Worth
from export.pruning.weakest import Removed

# (layer, whether it produces or reads the channels, its channels, the matching channels of the root)
Part = tuple[str, bool, list[int], list[int]]


@dataclass(frozen=True, kw_only=True)
class Coupled:
    """Channels of the layers that produce them and that read them, which can only be removed together."""

    # The layers from which the group was followed, each of which loses the same channels; several if they, or
    # layers coupled with them, share a weight.
    roots: tuple[str, ...]
    # All layers that produce the channels.
    layers: frozenset[str]
    parts: tuple[Part, ...]
    # Number of channels of a root, and the number of equal groups, each of which loses the same channels.
    size: int
    groups: int
    # Norms whose mean and variance are over these channels.
    norms: tuple[str, ...]
    # The classes of the parts: only layers of the same structure are comparable.
    kind: tuple[str, ...]

    @property
    def name(self) -> str:
        """The first root."""
        return self.roots[0]


def rank(module: torch.nn.Module, coupled: Coupled, worth: Worth) -> torch.Tensor:
    """Return the importance of each channel (of one group, if there are several).

    It is the total importance of all weights that would be removed with the channel, relative to the mean
    over all channels, so that layers of different size are comparable."""
    total = torch.zeros(coupled.size)
    for name, produced, channels, roots in coupled.parts:
        weight = worth.get(f"{name}.weight")
        # A norm may have no weights.
        if weight is not None:
            each = _sum_channels(module.get_submodule(name), weight, produced)
            total.scatter_add_(0, torch.tensor(roots), each[torch.tensor(channels)])
    total = total.view(coupled.groups, -1).mean(0)
    return total / total.mean().clamp(min=torch.finfo(torch.float32).tiny)


def spread(coupled: Sequence[Coupled], removed: Removed) -> Removed:
    """Extend a removal to every group and every root; names that are not coupled stay as they are."""
    spread_out = dict(removed)
    for item in coupled:
        if item.name in removed:
            width = item.size // item.groups
            indices = [group * width + index for group in range(item.groups) for index in removed[item.name]]
            spread_out |= dict.fromkeys(item.roots, indices)
    return spread_out


def find_produced(coupled: Sequence[Coupled], removed: Removed) -> Removed:
    """Return the channels that each layer no longer produces after this removal, in the form that `spread`
    returns."""
    produced: dict[str, set[int]] = {}
    for item in coupled:
        removed_channels = set(removed.get(item.name, ()))
        for name, is_produced, channels, roots in item.parts:
            if removed_channels and is_produced and name in item.layers:
                here = {
                    channel for channel, root in zip(channels, roots, strict=True) if root in removed_channels
                }
                produced.setdefault(name, set()).update(here)
    return {name: sorted(channels) for name, channels in produced.items() if channels}


def join_shared(module: torch.nn.Module, coupled: Sequence[Coupled]) -> list[Coupled]:
    """Join groups that share a weight in the same channels and the same place, so that it can stay shared."""
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
    """Return each weight, whether its rows or its columns are removed, and which belongs to which channel of
    the root."""
    return {
        (id(weight), produced, tuple(channels), tuple(roots))
        for name, produced, channels, roots in coupled.parts
        if (weight := module.get_submodule(name).weight) is not None
    }


def is_depthwise(part: object) -> bool:
    """Whether it is a depthwise convolution."""
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
