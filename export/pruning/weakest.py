"""Selects the least important members of several lists."""

from collections.abc import Mapping, Sequence

import torch

Removed = dict[str, list[int]]


def find_weakest(importances: Mapping[str, torch.Tensor], count: int) -> Removed:
    """Return the indices of the `count` least important members over all names; at least one stays for each
    name, so fewer may be returned. Of equal ones, the first."""
    names = list(importances)
    owners = torch.cat([torch.full_like(importances[name], place) for place, name in enumerate(names)])
    members = torch.cat([torch.arange(len(importances[name])) for name in names])
    order = torch.argsort(torch.cat([importances[name] for name in names]), stable=True)
    removed: Removed = {name: [] for name in names}
    for position in order.tolist():
        if count <= 0:
            break
        name = names[int(owners[position])]
        if len(removed[name]) + 1 < len(importances[name]):
            removed[name].append(int(members[position]))
            count -= 1
    return {name: sorted(indices) for name, indices in removed.items() if indices}


def plan_removal(
    importances: Mapping[str, torch.Tensor],
    ranked_together: Sequence[Sequence[str]],
    sizes: Mapping[str, int],
    ratio: float,
) -> Removed:
    """Return the weakest members of every list of names that are ranked together, until the given ratio of
    their initial `sizes` is removed."""
    removed: Removed = {}
    for names in ranked_together:
        left = sum(len(importances[name]) for name in names)
        start = sum(sizes[name] for name in names)
        count = round(start * ratio) - (start - left)
        removed |= find_weakest({name: importances[name] for name in names}, count)
    return removed
