"""Grown: a random network of these blocks, the same for the same seed, and rows for it."""

import random
from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn

from export.data.datasets import Data, Split
from tests.export.property import conv_blocks, linear_blocks
from tests.export.property.blocks import NAMES, Block, Form, Laid

_ROWS = 8


class Grown(nn.Module):
    """`x` [batch, 3, 8, 8] or [batch, 6, 5] through random blocks to four numbers. The neurons of `free`, the
    last layer but one, can always go."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        dice = random.Random(seed)
        names = _invent(dice)
        self.shape = dice.choice(((3, 8, 8), (6, 5)))
        size, *_, width = self.shape
        form = (
            Form(kind="map", width=3, size=8)
            if len(self.shape) == 3
            else Form(kind="sequence", width=width, size=size)
        )
        self.blocks = nn.ModuleList()
        while form.kind != "vector":
            stay, leave = (
                (conv_blocks.STAY, conv_blocks.LEAVE)
                if form.kind == "map"
                else (linear_blocks.OVER_TIME, linear_blocks.LEAVE)
            )
            for lay in [*dice.choices(stay, k=dice.randint(1, 4)), dice.choice(leave)]:
                form = self._add(lay(dice, form), names)
        for lay in dice.choices(linear_blocks.STAY, k=dice.randint(0, 2)):
            form = self._add(lay(dice, form), names)
        self.free = nn.Linear(form.width, 16)
        self.head = nn.Linear(16, 4)
        _enliven(self)
        self.eval()

    def _add(self, laid: Laid, names: Iterator[str]) -> Form:
        way, layers, form = laid
        self.blocks.append(Block(way, layers, names))
        return form

    def forward(self, x: Tensor) -> Tensor:
        """The four numbers."""
        for block in self.blocks:
            x = block(x)
        answers: Tensor = self.head(self.free(x).relu())
        return answers


def make_rows(shape: tuple[int, ...]) -> Data:
    """Random rows of this shape."""

    def split(seed: int) -> Split:
        array = np.random.default_rng(seed).normal(size=(_ROWS, *shape)).astype(np.float32)
        return Split(inputs={"x": array}, labels=None, lengths=None, row_hashes=tuple(map(str, range(_ROWS))))

    return Data(train=None, calibration=split(0), search=split(1), held_out=split(2))


def _invent(dice: random.Random) -> Iterator[str]:
    for time in count():
        for name in dice.sample(NAMES, len(NAMES)):
            yield f"{name}{time or ''}"


def _enliven(net: nn.Module) -> None:
    """Statistics that are not those of a fresh norm, and weights that no activation drowns."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.get_buffer("running_mean").normal_()
            part.get_buffer("running_var").uniform_(0.5, 2)
        for value in part.parameters(recurse=False):
            with torch.no_grad():
                if isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
                    value.uniform_(-1.5, 1.5)
                elif value.ndim > 1:
                    value.mul_(1.5)
