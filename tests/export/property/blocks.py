"""Blocks: the pieces of random networks, each with one way in which numbers travel from layer to layer."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

# Names that may cause trouble in a layer, a file or an exporter.
NAMES = (
    "a:b",
    "weight",
    "0",
    "MatMul_0",
    "w_transposed",
    "layer norm",
    "x/y",
    "LayerNorm",
    "é",
    "Conv_quantized",
)
ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    functional.relu,
    functional.gelu,
    functional.silu,
    functional.hardswish,
    functional.leaky_relu,
    torch.tanh,
    torch.sigmoid,
)


@dataclass(frozen=True, kw_only=True)
class Form:
    """What goes from block to block: a map [batch, width, size, size], a sequence [batch, size, width] or a
    vector [batch, width]."""

    kind: Literal["map", "sequence", "vector"]
    width: int
    size: int = 1


# Applies the layers, which it gets by their short names, to a tensor.
Way = Callable[[Any, Any], Any]
# The function that applies the layers, the layers, and the form of the result.
Laid = tuple[Way, Mapping[str, nn.Module], Form]
Lay = Callable[[random.Random, Form], Laid]


class Block(nn.Module):
    """Layers with unusual names, and how they are connected."""

    def __init__(self, way: Way, layers: Mapping[str, nn.Module], names: Iterator[str]) -> None:
        super().__init__()
        self.way = way
        self.called = {short: next(names) for short in layers}
        for short, layer in layers.items():
            self.add_module(self.called[short], layer)

    def forward(self, x: Tensor) -> Tensor:
        """The way of `x` through the layers."""
        y: Tensor = self.way(_Layers(self), x)
        return y


class _Layers:
    """The layers by their short names."""

    def __init__(self, block: Block) -> None:
        self._block = block

    def __getattr__(self, short: str) -> nn.Module:
        return self._block.get_submodule(self._block.called[short])


def conv(inputs: int, outputs: int, size: int = 3, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=bias)


def choose_activation(dice: random.Random) -> Callable[[Tensor], Tensor]:
    """Return a random activation."""
    return dice.choice(ACTIVATIONS)


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Shuffle the channels as ShuffleNet does."""
    rows, channels, *sizes = x.shape
    return x.reshape(rows, groups, channels // groups, *sizes).transpose(1, 2).reshape(x.shape)
