"""Removes channels of convolutions and neurons of linear layers, with everything that depends on them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from export.errors import StepFailed
from export.forward import Tensors
from export.onnx.patterns import match
from export.pruning.channel_groups import Coupled, Part, is_depthwise, join_shared
from export.pruning.columns import find_columns, trace_columns
from export.pruning.dependencies import LAYERS, find_heads, follow
from export.pruning.indivisible import INSEPARABLE, explain_whole, is_whole
from export.pruning.shared_parameters import find_ties, tie
from export.step import Prune

_AVERAGING = (torch.nn.LayerNorm, torch.nn.GroupNorm)
_WEIGHED = (*LAYERS, _BatchNorm, *_AVERAGING)
_WHOLE = f"the model's inputs and outputs, {INSEPARABLE}"
_ANSWERS = "its channels are the model's outputs, or are added to them"
# torch-pruning's names for operations that may change the order or the axis of channels.
_MOVING = (
    "Reshape",
    "Permute",
    "Transpose",
    "TBackward",
    "Roll",
    "Flip",
    "Stack",
    "Index",
    "Unsqueeze",
    "Unfold",
)
_TOGETHER = "its channels can be removed only with those of {}, which the settings exclude"
_LOST = "torch-pruning cannot follow its channels through the following layers"
_UNSEEN = "no gradient reaches it from the outputs, so it cannot be followed"
_SINGLE = "it, or a layer coupled with it, has only one channel, or one in each of its groups"


class Channels:
    """Finds the removable channels of a module by following a batch of real rows through it."""

    def __init__(self, module: torch.nn.Module, example: Tensors) -> None:
        """Raises StepFailed if the module cannot be followed."""
        self._module = module
        self._example = example
        self._names = {part: name for name, part in module.named_modules()}
        self._graph = follow(module.eval(), example)

    def find(self, settings: Prune) -> tuple[tuple[Coupled, ...], dict[str, str]]:
        """Return the channels that may be removed, and why other layers selected by the settings cannot lose
        channels.

        Raises StepFailed for a pattern that matches no removable channels."""
        known = [name for name, part in self._module.named_modules() if isinstance(part, LAYERS)]
        kept = set(match(settings.keep, known, "convolutions and linear layers"))
        lost: dict[str, str] = {}
        free = join_shared(self._module, list(self._list_free(lost)))
        members = [name for name in known if any(name in coupled.layers for coupled in free)]
        if not members and not lost:
            raise StepFailed(
                f"{type(self._module).__name__} has no removable channels: {_WHOLE}; remove the step"
            )
        able = [*members, *lost]
        chosen = set(match(settings.layers, able, f"layers that can lose channels ({_WHOLE})")) - kept
        groups = tuple(coupled for coupled in free if coupled.layers <= chosen)
        lost_layers = frozenset().union(*(coupled.layers for coupled in groups))
        for pattern in settings.layers:
            fits = match([pattern], able, "layers")
            if not (lost_layers | set(lost)) & set(fits):
                together = next(coupled.layers for coupled in free if coupled.layers & set(fits))
                raise StepFailed(
                    f"the pattern {pattern!r} fits {', '.join(fits)}, whose channels are added to those of "
                    f"other layers, or share their weight: {', '.join(sorted(together))} can only lose them "
                    "together; name all of them in `layers` and none of them in `keep`"
                )
        for coupled in free:
            if coupled not in groups:
                others = ", ".join(sorted(coupled.layers - chosen))
                lost |= dict.fromkeys(coupled.layers, _TOGETHER.format(others))
        return groups, {name: reason for name, reason in lost.items() if name in chosen}

    def remove(self, removed: Mapping[str, list[int]]) -> None:
        """Remove these channels of these layers, and what depends on them, in place. Raises StepFailed if
        that fails; the module is then unusable."""
        ties = find_ties(self._module)
        full = [name for name, value in self._module.named_parameters() if value.numel()]
        for name, indices in removed.items():
            layer = self._module.get_submodule(name)
            prune = self._graph.get_pruner_of_module(layer).prune_out_channels
            try:
                group = self._graph.get_pruning_group(layer, prune, indices)
                self._correct(group)
                group.prune(record_history=False)
            except Exception as error:  # torch-pruning meets whatever the model does
                raise StepFailed(_LOST) from error
        tie(self._module, ties)
        if empty := [name for name in full if not self._module.get_parameter(name).numel()]:
            raise StepFailed(f"nothing of {empty[0]} would be left")

    def _list_free(self, lost: dict[str, str]) -> Iterator[Coupled]:
        """Return the groups that can be removed. Layers for which this cannot be determined go to `lost`,
        with the reason."""
        fixed = find_heads(self._graph)
        seen: set[Any] = set()
        for layer in [module for module in self._graph.module2node if isinstance(module, LAYERS)]:
            if layer in seen:
                continue
            try:
                group = self._group(layer)
                coupled = self._read(group)
            except Exception:  # torch-pruning meets whatever the model does
                lost |= {} if layer in fixed else {self._names[layer]: _LOST}
                continue
            produced = {item.dep.target.module for item in group if self._is_produced(item)}
            seen |= produced
            if produced & set(fixed):
                # A layer that only computes outputs loses its inputs.
                read = [item.dep.target.module for item in group if not self._is_produced(item)]
                inner = any(isinstance(part, LAYERS) for part in read)
                lost |= dict.fromkeys(coupled.layers, _ANSWERS) if inner else {}
            elif obstacle := self._find_obstacle(group, coupled):
                lost |= dict.fromkeys(coupled.layers, obstacle)
            else:
                yield coupled
        whole = [name for part, name in self._names.items() if name and is_whole(part)]
        for part, name in self._names.items():
            inside = any(name.startswith(f"{outer}.") for outer in whole)
            if name in whole and not inside:
                lost[name] = INSEPARABLE
            elif isinstance(part, LAYERS) and part not in self._graph.module2node and not inside:
                lost[name] = _UNSEEN

    def _find_obstacle(self, group: Any, coupled: Coupled) -> str | None:
        """Return why no channels of the group can be removed, as far as this is known without trying."""
        operations = [item.dep.target.module for item in group]
        if whole := [operation for operation in operations if is_whole(operation)]:
            return explain_whole(whole[0], self._names)
        if computed := [name for name, *_ in coupled.parts if self._is_computed(name)]:
            return f"the weight of {computed[0]} is computed from others"
        if coupled.norms:
            return f"{coupled.norms[0]} takes its mean and variance over all of its channels"
        return _SINGLE if coupled.size == coupled.groups else None

    def _group(self, layer: torch.nn.Module) -> Any:
        pruner = self._graph.get_pruner_of_module(layer)
        everything = list(range(pruner.get_out_channels(layer)))
        return self._graph.get_pruning_group(layer, pruner.prune_out_channels, everything)

    def _correct(self, group: Any) -> None:
        """Correct the columns that the following layers lose, if the order of channels may have changed,
        since torch-pruning handles only some such operations."""
        if not _may_move(group):
            return
        sources = [item for item in group if self._is_source(item)]
        channels = {self._names[item.dep.target.module]: item.idxs for item in sources}
        columns = find_columns(self._module, channels, self._example)
        for place, item in enumerate(group):
            matches = columns.get(item.dep.target.module, [])
            if not self._is_source(item) and len(matches) == len(item.idxs):
                group[place] = type(item)(item.dep, matches)

    def _trace(self, group: Any) -> dict[torch.nn.Module, dict[int, int]]:
        """Return, by layer, which channel of the root arrives in which column, where torch-pruning's answer
        is not certain."""
        if not _may_move(group):
            return {}
        sources = [item for item in group if self._is_source(item)]
        channels = {self._names[item.dep.target.module]: (item.idxs, item.root_idxs) for item in sources}
        return trace_columns(self._module, channels, self._example)

    def _is_source(self, item: Any) -> bool:
        """Whether it is a layer where channels begin."""
        part = item.dep.target.module
        return self._is_produced(item) and isinstance(part, LAYERS) and not is_depthwise(part)

    def _is_produced(self, item: Any) -> bool:
        return bool(self._graph.is_out_channel_pruning_fn(item.dep.handler))

    def _is_computed(self, name: str) -> bool:
        """Whether the parameter is computed by weight_norm, spectral_norm or another parametrization."""
        weight = self._module.get_submodule(name).weight
        return weight is not None and not any(
            weight is value for value in self._module.get_submodule(name)._parameters.values()
        )

    def _read(self, group: Any) -> Coupled:
        graph = self._graph
        parts: list[Part] = []
        groups = 1
        traced = self._trace(group)
        for item in group:
            part, produced = item.dep.target.module, self._is_produced(item)
            if not isinstance(part, _WEIGHED):
                continue
            pruner = graph.get_pruner_of_module(part)
            count = (pruner.get_out_channels if produced else pruner.get_in_channels)(part)
            channels, roots = [int(index) for index in item.idxs], [int(index) for index in item.root_idxs]
            if not channels:
                continue
            if len(channels) != len(roots) or not set(channels) <= set(range(count)):
                raise StepFailed(_LOST)
            sources = {} if self._is_source(item) else traced.get(part, {})
            if Counter(sources.values()) == Counter(roots):
                channels, roots = [*sources], [*sources.values()]
            parts.append((self._names[part], produced, channels, roots))
            if not is_depthwise(part):
                count = pruner.get_out_channel_groups if produced else pruner.get_in_channel_groups
                groups = max(groups, count(part))
        layers = [name for name, produced, *_ in parts if produced and self._is_layer(name)]
        return Coupled(
            roots=(self._names[group[0].dep.target.module],),
            layers=frozenset(layers),
            parts=tuple(parts),
            size=len(group[0].idxs),
            groups=groups,
            norms=tuple(
                name for name, *_ in parts if isinstance(self._module.get_submodule(name), _AVERAGING)
            ),
            kind=tuple(
                f"{type(self._module.get_submodule(name)).__name__} {'out' if produced else 'in'}"
                for name, produced, *_ in parts
            ),
        )

    def _is_layer(self, name: str) -> bool:
        return isinstance(self._module.get_submodule(name), LAYERS)


def _may_move(group: Any) -> bool:
    """Whether an operation on the way may reorder the channels."""
    operations = [repr(item.dep.target.module) for item in group]
    return any(word in operation for operation in operations for word in _MOVING)
