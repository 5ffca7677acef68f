"""Finds the columns in which channels arrive at the layers that read them."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from export.forward import Tensors, forward
from export.pruning.zeroed_channels import channel_axis, silenced

# By layer, which of its input channels are marked. A layer that receives only parts of a channel, or other
# channels at another time, is not included.
Columns = dict[torch.nn.Module, list[int]]
_COUNTED = (_ConvNd, torch.nn.Linear, _BatchNorm)


def find_columns(module: torch.nn.Module, channels: Mapping[str, list[int]], example: Tensors) -> Columns:
    """Return the columns of each layer in which these channels of these layers arrive."""
    columns: dict[torch.nn.Module, list[list[int] | None]] = {}

    def look(part: torch.nn.Module, args: Any) -> None:
        columns.setdefault(part, []).append(_find_marked(part, args[0]))

    with ExitStack() as stack:
        for part in module.modules():
            if isinstance(part, _COUNTED):
                stack.callback(part.register_forward_pre_hook(look).remove)
        with silenced(module, channels), torch.no_grad():
            forward(module, example)
    return {
        part: seen[0]
        for part, seen in columns.items()
        if seen[0] is not None and all(again == seen[0] for again in seen)
    }


def trace_columns(
    module: torch.nn.Module, channels: Mapping[str, tuple[list[int], list[int]]], example: Tensors
) -> dict[torch.nn.Module, dict[int, int]]:
    """Return, by layer, which number (given with the channels of each layer) arrives in which column, as
    pairs of lists. Takes as many runs as the numbers have bits."""
    numbers = [number for _, each in channels.values() for number in each]
    traced: dict[torch.nn.Module, dict[int, int]] = {}
    for bit in range((max(numbers, default=0) + 1).bit_length()):
        marked = {
            name: [channel for channel, number in zip(*pair, strict=True) if (number + 1) >> bit & 1]
            for name, pair in channels.items()
        }
        for part, columns in find_columns(module, marked, example).items():
            codes = traced.setdefault(part, {})
            for column in columns:
                codes[column] = codes.get(column, 0) | 1 << bit
    return {part: {column: code - 1 for column, code in codes.items()} for part, codes in traced.items()}


def _find_marked(part: torch.nn.Module, x: torch.Tensor) -> list[int] | None:
    axis = 1 if isinstance(part, _BatchNorm) else channel_axis(part)
    marked = x.isnan().movedim(axis, -1).flatten(0, -2)
    wholly, partly = marked.all(0), marked.any(0)
    return wholly.nonzero().flatten().tolist() if torch.equal(wholly, partly) else None
