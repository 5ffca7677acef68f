"""The building blocks of the small networks of these tests."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Net(nn.Module):
    """Layers and their connections, from `x` [batch, 3, 8, 8] to four scores. Behind them is `free`, whose
    neurons can always be removed."""

    def __init__(
        self, body: Callable[[Any, Tensor], Tensor], width: int, layers: dict[str, nn.Module]
    ) -> None:
        super().__init__()
        self.body = body
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.free = nn.Linear(width, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.head(self.free(self.body(self, x)).relu())
        return scores


def conv(inputs: int, outputs: int, size: int = 3, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups)


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Shuffle the channels as ShuffleNet does."""
    rows, channels, *sizes = x.shape
    return x.reshape(rows, groups, channels // groups, *sizes).transpose(1, 2).reshape(x.shape)


def pool(x: Tensor) -> Tensor:
    """Return the mean of each channel."""
    return x.mean((2, 3))


# The function that applies the layers, the width of its result, and the layers.
Made = tuple[Callable[[Any, Tensor], Tensor], int, dict[str, nn.Module]]
