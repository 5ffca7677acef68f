"""Simulates removed channels: layers read 0 in their place."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_map

from export.pruning.channel_groups import is_depthwise

# Layers that sum over channels. Others pass channels on one by one, or are not supported, in which case the
# proof fails.
_READERS = (
    _ConvNd,
    torch.nn.Linear,
    torch.nn.Bilinear,
    torch.nn.RNNBase,
    torch.nn.RNNCellBase,
    torch.nn.MultiheadAttention,
)


@contextmanager
def silenced(module: torch.nn.Module, channels: Mapping[str, list[int]]) -> Iterator[None]:
    """While the context lasts, every layer that sums over channels reads 0 in place of these channels.

    Setting the channels themselves to 0 would not work, because a following norm, bias or activation turns 0
    into another number. They are marked with NaN, which all layers in between pass on (including depthwise
    convolutions), and each layer that sums replaces NaN by 0."""
    with ExitStack() as stack:
        for part in module.modules():
            if isinstance(part, _READERS) and not is_depthwise(part):
                handle = part.register_forward_pre_hook(_read_zeros, with_kwargs=True)
                stack.callback(handle.remove)
        for name, indices in channels.items():
            layer = module.get_submodule(name)
            if not is_depthwise(layer):
                stack.callback(layer.register_forward_hook(_mark(layer, indices)).remove)
        yield


def _read_zeros(_: torch.nn.Module, args: Any, kwargs: Any) -> Any:
    return tree_map(_replace_nan, (args, kwargs))


def _replace_nan(value: object) -> object:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.masked_fill(value.isnan(), 0)
    return value


def _mark(layer: torch.nn.Module, indices: list[int]) -> Callable[..., torch.Tensor]:
    axis = channel_axis(layer)

    def mark(_: torch.nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        return output.index_fill(axis, torch.tensor(indices), torch.nan)

    return mark


def channel_axis(layer: torch.nn.Module) -> int:
    """Return the channel axis of the layer's inputs and outputs, counted from the end, since batch dimensions
    may be missing or several."""
    return -1 - len(layer.kernel_size) if isinstance(layer, _ConvNd) else -1
