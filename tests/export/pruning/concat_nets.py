"""Networks that join features to their own inputs or to constants."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.export.pruning.net_parts import Made, conv, pool


def _dense(m: Any, x: Tensor) -> Tensor:
    for norm, layer in ((m.n, m.a), (m.o, m.b)):
        x = torch.cat([x, layer(norm(x).relu())], 1)
    return pool(x)


def _inception(m: Any, x: Tensor) -> Tensor:
    parts = [m.a(x).relu(), m.c(m.b(x).relu()).relu(), functional.avg_pool2d(x, 3, 1, 1)]
    return pool(m.d(torch.cat(parts, 1)))


def _u_net(m: Any, x: Tensor) -> Tensor:
    one = m.a(x).relu()
    up = m.c(m.b(functional.max_pool2d(one, 2)).relu())
    return pool(m.e(torch.cat([m.d(torch.cat([up, one], 1)).relu(), x], 1)).relu())


def _coordinates(m: Any, x: Tensor) -> Tensor:
    places = torch.linspace(-1, 1, 8).expand(len(x), 1, 8, 8)
    return pool(m.b(torch.cat([places, m.a(x).relu()], 1)))


# What is joined -> the network.
JOINS: dict[str, Callable[[], Made]] = {
    "wide and deep": lambda: (
        lambda m, x: torch.cat([x.flatten(1), m.b(m.a(x.flatten(1)).relu()).relu()], 1),
        204,
        {"a": nn.Linear(192, 8), "b": nn.Linear(8, 12)},
    ),
    "dense from the input": lambda: (
        _dense,
        11,
        {"n": nn.BatchNorm2d(3), "a": conv(3, 4), "o": nn.BatchNorm2d(7), "b": conv(7, 4)},
    ),
    "inception": lambda: (
        _inception,
        8,
        {"a": conv(3, 4, 1), "b": conv(3, 6), "c": conv(6, 4), "d": conv(11, 8)},
    ),
    "u-net": lambda: (
        _u_net,
        8,
        {
            "a": conv(3, 8),
            "b": conv(8, 16),
            "c": nn.ConvTranspose2d(16, 8, 2, 2),
            "d": conv(16, 8),
            "e": conv(11, 8),
        },
    ),
    "coordinates": lambda: (_coordinates, 8, {"a": conv(3, 8), "b": conv(9, 8)}),
    "signs": lambda: (
        lambda m, x: pool(m.b(torch.cat([(x > 0).float(), m.a(x).relu()], -3))),
        8,
        {"a": conv(3, 8), "b": conv(11, 8)},
    ),
    "features of steps": lambda: (
        lambda m, x: m.b(torch.cat([x[:, 0], m.a(x[:, 0]).relu()], -1)).mean(1),
        8,
        {"a": nn.Linear(8, 12), "b": nn.Linear(20, 8)},
    ),
}
