"""Channels: of convolutions, and neurons of linear layers, leave the graph with all that depends on them."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from export.errors import StepFailed
from export.forward import Tensors, forward
from export.patterns import match
from export.pruning.importance import Worth
from export.pruning.weakest import Removed
from export.pruning.whole import close_inputs, is_whole, kept_whole
from export.step import Prune

_LAYERS = (_ConvNd, torch.nn.Linear)
_WEIGHED = (*_LAYERS, _BatchNorm, torch.nn.LayerNorm, torch.nn.GroupNorm)
_WHOLE = "the model's inputs and outputs, recurrent and attention modules stay whole"


@dataclass(frozen=True, kw_only=True)
class Coupled:
    """Channels that can only leave together: of the layers that produce them and of all that read them."""

    # The first layer that produces them.
    name: str
    # All layers that produce them.
    layers: frozenset[str]
    # Every (layer, produced rather than read, its channels, the first layer's channels they belong to).
    parts: tuple[tuple[str, bool, list[int], list[int]], ...]
    # How many channels the first layer has, and in how many equal groups, of which each loses the same ones.
    size: int
    groups: int
    # Of which classes the parts are: only what is built alike compares.
    kind: tuple[str, ...]


class Channels:
    """The channels of a module that can be removed, found by following a batch of real rows through it."""

    def __init__(self, module: torch.nn.Module, example: Tensors) -> None:
        """Raises StepFailed when the module cannot be followed."""
        self._module = module
        self._names = {part: name for name, part in module.named_modules()}
        self._graph = _follow(module.eval(), example)

    def find(self, settings: Prune) -> list[Coupled]:
        """What the settings let go. Raises StepFailed for a pattern that fits nothing that can go."""
        known = [name for name, part in self._module.named_modules() if isinstance(part, _LAYERS)]
        kept = set(match(settings.keep, known, "convolutions and linear layers"))
        free = list(self._list_free())
        members = [name for name in known if any(name in coupled.layers for coupled in free)]
        if not members:
            raise StepFailed(
                f"{type(self._module).__name__} has no channels that could go: {_WHOLE}; drop the step"
            )
        chosen = set(match(settings.layers, members, f"layers that can lose channels ({_WHOLE})")) - kept
        found = [coupled for coupled in free if coupled.layers <= chosen]
        gone = frozenset().union(*(coupled.layers for coupled in found))
        for pattern in settings.layers:
            fits = match([pattern], members, "layers")
            if not gone & set(fits):
                together = next(coupled.layers for coupled in free if coupled.layers & set(fits))
                raise StepFailed(
                    f"the pattern {pattern!r} fits {', '.join(fits)}, whose channels are added to those of "
                    f"other layers: {', '.join(sorted(together))} can only lose them together; name all of "
                    "them in `layers` and none of them in `keep`"
                )
        return found

    def remove(self, removed: Mapping[str, list[int]]) -> None:
        """Remove these channels of these layers, and what depends on them, in place."""
        for name, indices in removed.items():
            layer = self._module.get_submodule(name)
            prune = self._graph.get_pruner_of_module(layer).prune_out_channels
            self._graph.get_pruning_group(layer, prune, indices).prune(record_history=False)

    def _list_free(self) -> Iterator[Coupled]:
        heads = _find_heads(self._graph)
        for group in self._graph.get_all_groups(ignored_layers=heads, root_module_types=_LAYERS):
            if not any(is_whole(item.dep.target.module) for item in group):
                yield self._read(group)

    def _read(self, group: Any) -> Coupled:
        graph = self._graph
        parts, groups = [], 1
        for item in group:
            part, produced = item.dep.target.module, graph.is_out_channel_pruning_fn(item.dep.handler)
            if not isinstance(part, _WEIGHED):
                continue
            parts.append((self._names[part], produced, list(item.idxs), list(item.root_idxs)))
            if not _is_depthwise(part):
                pruner = graph.get_pruner_of_module(part)
                count = pruner.get_out_channel_groups if produced else pruner.get_in_channel_groups
                groups = max(groups, count(part))
        layers = [name for name, produced, *_ in parts if produced and self._is_layer(name)]
        return Coupled(
            name=self._names[group[0].dep.target.module],
            layers=frozenset(layers),
            parts=tuple(parts),
            size=len(group[0].idxs),
            groups=groups,
            kind=tuple(
                f"{type(self._module.get_submodule(name)).__name__} {'out' if produced else 'in'}"
                for name, produced, *_ in parts
            ),
        )

    def _is_layer(self, name: str) -> bool:
        return isinstance(self._module.get_submodule(name), _LAYERS)


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
    """The same channels of every group; names that are not coupled stay as they are."""
    spread_out = dict(removed)
    for item in coupled:
        width = item.size // item.groups
        if item.groups > 1 and item.name in removed:
            spread_out[item.name] = [
                group * width + index for group in range(item.groups) for index in removed[item.name]
            ]
    return spread_out


def _sum_channels(part: torch.nn.Module, weight: torch.Tensor, produced: bool) -> torch.Tensor:
    if weight.ndim == 1:
        return weight
    if isinstance(part, _ConvTransposeNd):
        weight = weight.transpose(0, 1)
    if produced or _is_depthwise(part):
        return weight.flatten(1).sum(1)
    each = weight.transpose(0, 1).flatten(1).sum(1)
    return each.repeat(part.groups) if isinstance(part, _ConvNd) else each


def _is_depthwise(part: object) -> bool:
    return isinstance(part, _ConvNd) and part.groups == part.out_channels and part.groups > 1


def _follow(module: torch.nn.Module, example: Tensors) -> Any:
    with kept_whole(module), warnings.catch_warnings(), torch.enable_grad():
        # Parameters outside of torch's own layers: it says what it will do with them, and that is right.
        warnings.filterwarnings("ignore", "Unwrapped parameters detected", UserWarning)
        try:
            return torch_pruning.DependencyGraph().build_dependency(
                module,
                example_inputs=example,
                forward_fn=lambda _, inputs: forward(module, close_inputs(inputs)),
            )
        except Exception as error:  # torch-pruning meets whatever the model does
            raise StepFailed(
                f"torch-pruning cannot follow {type(module).__name__}: {type(error).__name__}: {error}; "
                "remove `weights` or `heads` instead, or drop the step"
            ) from error


def _find_heads(graph: Any) -> list[torch.nn.Module]:
    """The layers whose channels are the model's own outputs."""
    heads: list[torch.nn.Module] = []
    waiting = [node for node in graph.module2node.values() if not node.outputs]
    seen = set(map(id, waiting))
    while waiting:
        node = waiting.pop()
        if isinstance(node.module, _LAYERS):
            heads.append(node.module)
            continue
        inner = [parent for parent in node.inputs if id(parent) not in seen]
        seen.update(map(id, inner))
        waiting.extend(inner)
    return heads
