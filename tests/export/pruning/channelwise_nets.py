"""Networks that move channels between layers without mixing them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.export.pruning.net_parts import Made, conv, pool, shuffle


def _c2f(m: Any, x: Tensor) -> Tensor:
    parts = list(m.a(x).relu().chunk(2, 1))
    parts.append(m.b(parts[-1]).relu())
    return pool(m.c(torch.cat(parts, 1)))


def _residual(m: Any, x: Tensor) -> Tensor:
    x = m.a(x).relu()
    return pool((x + m.norm(m.c(m.b(x).relu()))).relu())


def _dense(m: Any, x: Tensor) -> Tensor:
    one = m.a(x).relu()
    two = m.b(one).relu()
    return m.c(torch.cat([two, one, two], 1).flatten(1))  # type: ignore[no-any-return]


def _split(m: Any, x: Tensor) -> Tensor:
    one, two = m.a(x).relu().split([6, 10], 1)
    return pool(torch.cat([m.b(one), m.c(two)], 1).relu())


# What happens to the channels -> the network.
MOVES: dict[str, Callable[[], Made]] = {
    "plain": lambda: (
        lambda m, x: m.n(m.a(x)).relu().flatten(1),
        512,
        {"a": conv(3, 8), "n": nn.BatchNorm2d(8)},
    ),
    "channels last": lambda: (
        lambda m, x: m.a(x).relu().permute(0, 2, 3, 1).flatten(1),
        512,
        {"a": conv(3, 8)},
    ),
    "height last": lambda: (lambda m, x: m.a(x).relu().transpose(2, 3).flatten(1), 512, {"a": conv(3, 8)}),
    "time first": lambda: (
        lambda m, x: m.a(x[:, 0]).relu().transpose(1, 2).flatten(1),
        64,
        {"a": nn.Conv1d(8, 8, 3, padding=1)},
    ),
    "channel beside height": lambda: (
        lambda m, x: m.a(x).relu().transpose(1, 2).flatten(2).mean(1),
        64,
        {"a": conv(3, 8)},
    ),
    "shuffle": lambda: (
        lambda m, x: pool(m.b(shuffle(m.a(x).relu(), 4)).relu()),
        8,
        {"a": conv(3, 16), "b": conv(16, 8)},
    ),
    "shuffle between groups": lambda: (
        lambda m, x: pool(m.b(shuffle(m.a(x).relu(), 2)).relu()),
        8,
        {"a": conv(3, 16), "b": conv(16, 8, groups=2)},
    ),
    "shuffle before depthwise": lambda: (
        lambda m, x: pool(m.c(m.b(shuffle(m.a(x).relu(), 2)).relu()).relu()),
        8,
        {"a": conv(3, 8), "b": conv(8, 8, groups=8), "c": conv(8, 8)},
    ),
    "pixel shuffle": lambda: (
        lambda m, x: pool(m.b(functional.pixel_shuffle(m.a(x).relu(), 2))),
        4,
        {"a": conv(3, 16), "b": conv(4, 4)},
    ),
    "pixel unshuffle": lambda: (
        lambda m, x: pool(m.b(functional.pixel_unshuffle(m.a(x).relu(), 2))),
        4,
        {"a": conv(3, 8), "b": conv(32, 4)},
    ),
    "transposed convolution": lambda: (
        lambda m, x: pool(m.b(m.a(x).relu()).relu()),
        8,
        {"a": conv(3, 8), "b": nn.ConvTranspose2d(8, 8, 2, 2)},
    ),
    "roll": lambda: (lambda m, x: pool(m.b(m.a(x).relu().roll(1, 1))), 8, {"a": conv(3, 8), "b": conv(8, 8)}),
    "flip": lambda: (lambda m, x: pool(m.b(m.a(x).relu().flip(1))), 8, {"a": conv(3, 8), "b": conv(8, 8)}),
    "chosen channels": lambda: (
        lambda m, x: pool(m.b(m.a(x).relu()[:, [5, 0, 3, 2]])),
        8,
        {"a": conv(3, 8), "b": conv(4, 8)},
    ),
    "every second": lambda: (
        lambda m, x: pool(m.b(m.a(x).relu()[:, ::2])),
        8,
        {"a": conv(3, 8), "b": conv(4, 8)},
    ),
    "first half": lambda: (
        lambda m, x: pool(m.b(m.a(x).relu()[:, :4])),
        8,
        {"a": conv(3, 8), "b": conv(4, 8)},
    ),
    "repeat": lambda: (
        lambda m, x: pool(m.b(m.a(x).relu().repeat(1, 2, 1, 1))),
        8,
        {"a": conv(3, 8), "b": conv(16, 8)},
    ),
    "repeat each": lambda: (
        lambda m, x: pool(m.b(m.a(x).relu().repeat_interleave(2, 1))),
        8,
        {"a": conv(3, 8), "b": conv(16, 8)},
    ),
    "both signs": lambda: (
        lambda m, x: pool(m.b(torch.cat([m.a(x), -m.a(x)], 1).relu())),
        8,
        {"a": conv(3, 8), "b": conv(16, 8)},
    ),
    "stack": lambda: (
        lambda m, x: torch.stack([pool(m.a(x)).relu(), pool(m.b(x)).relu()], 1).flatten(1),
        16,
        {"a": conv(3, 8), "b": conv(3, 8)},
    ),
    "interleave": lambda: (
        lambda m, x: torch.stack([pool(m.a(x)).relu(), pool(m.b(x)).relu()], 2).flatten(1),
        16,
        {"a": conv(3, 8), "b": conv(3, 8)},
    ),
    "unfolded": lambda: (
        lambda m, x: functional.unfold(m.a(x).relu(), 2, stride=2).mean(2),
        32,
        {"a": conv(3, 8)},
    ),
    "pyramid": lambda: (
        lambda m, x: torch.cat(
            [functional.adaptive_avg_pool2d(m.a(x).relu(), n).flatten(1) for n in (1, 2)], 1
        ),
        40,
        {"a": conv(3, 8)},
    ),
    "c2f": lambda: (_c2f, 8, {"a": conv(3, 16), "b": conv(8, 8), "c": conv(24, 8)}),
    "split": lambda: (_split, 8, {"a": conv(3, 16), "b": conv(6, 4), "c": conv(10, 4)}),
    "dense": lambda: (_dense, 8, {"a": conv(3, 4), "b": conv(4, 6), "c": nn.Linear(16 * 64, 8)}),
    "single precision": lambda: (
        lambda m, x: pool(m.b(m.a(x.float()).relu())),
        8,
        {"a": conv(3, 8), "b": conv(8, 8)},
    ),
    "double precision": lambda: (
        lambda m, x: pool(m.b(m.a(x.double()).relu())).float(),
        8,
        {"a": conv(3, 8).double(), "b": conv(8, 8).double()},
    ),
    "slope per channel": lambda: (
        lambda m, x: pool(m.b(m.p(m.a(x)))),
        8,
        {"a": conv(3, 8), "p": nn.PReLU(8), "b": conv(8, 8)},
    ),
    "groups": lambda: (
        lambda m, x: pool(m.c(m.b(m.a(x).relu()).relu())),
        8,
        {"a": conv(3, 8), "b": conv(8, 16, groups=2), "c": conv(16, 8)},
    ),
    "depthwise": lambda: (
        lambda m, x: pool(m.c(m.n(m.b(m.a(x).relu())).relu())),
        8,
        {"a": conv(3, 8), "b": conv(8, 8, groups=8), "n": nn.BatchNorm2d(8), "c": conv(8, 8)},
    ),
    "depthwise multiplied": lambda: (
        lambda m, x: pool(m.c(m.b(m.a(x).relu()).relu())),
        8,
        {"a": conv(3, 8), "b": conv(8, 16, groups=8), "c": conv(16, 8)},
    ),
    "residual": lambda: (
        _residual,
        8,
        {"a": conv(3, 8), "b": conv(8, 16), "c": conv(16, 8), "norm": nn.BatchNorm2d(8)},
    ),
}
