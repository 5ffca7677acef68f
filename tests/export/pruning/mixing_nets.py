"""Networks that combine channels: in products, attention, norms, maxima, and weights with two names."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from tests.export.pruning.net_parts import Made, conv, pool


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).flatten(2)


def _grouped_query(m: Any, x: Tensor) -> Tensor:
    t = x[:, 0]
    q = m.q(t).unflatten(-1, (4, 4)).transpose(1, 2)
    k, v = (p(t).unflatten(-1, (2, 4)).transpose(1, 2).repeat_interleave(2, 1) for p in (m.k, m.v))
    return m.o(_attend(q, k, v)).mean(1)  # type: ignore[no-any-return]


def _fused(m: Any, x: Tensor) -> Tensor:
    q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in m.a(x[:, 0]).chunk(3, -1))
    return m.b(_attend(q, k, v)).mean(1)  # type: ignore[no-any-return]


def _twice(m: Any, x: Tensor) -> Tensor:
    return pool(m.b(m.b(m.a(x).relu()).relu()).relu())


def _excite(m: Any, x: Tensor) -> Tensor:
    x = m.a(x).relu()
    return pool(m.d(x * m.c(m.b(x.mean((2, 3), keepdim=True)).relu()).sigmoid()))


def _functional(m: Any, x: Tensor) -> Tensor:
    return functional.linear(m.a(x.flatten(1)).relu(), m.a.weight.t()[:16])


def _tied_columns(m: Any, x: Tensor) -> Tensor:
    x = pool(m.stem(x)).relu()
    return m.b(m.a(x).relu()) + m.d(m.c(x).relu())  # type: ignore[no-any-return]


def _old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)


def _tie(layers: dict[str, nn.Module], *pairs: tuple[str, str]) -> dict[str, nn.Module]:
    for one, other in pairs:
        layers[other].weight = layers[one].weight
    return layers


# What happens to the channels -> the network.
MIXES: dict[str, Callable[[], Made]] = {
    "gated": lambda: (lambda m, x: pool(functional.glu(m.a(x), 1)), 8, {"a": conv(3, 16)}),
    "swiglu": lambda: (
        lambda m, x: m.c(functional.silu(m.a(x[:, 0])) * m.b(x[:, 0])).mean(1),
        8,
        {"a": nn.Linear(8, 16), "b": nn.Linear(8, 16), "c": nn.Linear(16, 8)},
    ),
    "mixer": lambda: (
        lambda m, x: m.b(m.a(x[:, 0]).relu().transpose(1, 2)).transpose(1, 2).mean(1),
        16,
        {"a": nn.Linear(8, 16), "b": nn.Linear(8, 8)},
    ),
    "grouped queries": lambda: (
        _grouped_query,
        8,
        {"q": nn.Linear(8, 16), "k": nn.Linear(8, 8), "v": nn.Linear(8, 8), "o": nn.Linear(16, 8)},
    ),
    "fused projections": lambda: (_fused, 8, {"a": nn.Linear(8, 24), "b": nn.Linear(8, 8)}),
    "weight norm": lambda: (
        lambda m, x: pool(m.a(x).relu()),
        8,
        {"a": parametrizations.weight_norm(conv(3, 8))},
    ),
    "old weight norm": lambda: (lambda m, x: pool(m.a(x).relu()), 8, {"a": _old_weight_norm(conv(3, 8))}),
    "spectral norm": lambda: (
        lambda m, x: pool(m.a(x).relu()),
        8,
        {"a": parametrizations.spectral_norm(conv(3, 8))},
    ),
    "mask": lambda: (
        lambda m, x: pool(m.a(x).relu() * m.b(x).sigmoid()),
        8,
        {"a": conv(3, 8), "b": conv(3, 1)},
    ),
    "squeeze and excite": lambda: (
        _excite,
        8,
        {"a": conv(3, 16), "b": conv(16, 4, 1), "c": conv(4, 16, 1), "d": conv(16, 8)},
    ),
    "tied": lambda: (
        lambda m, x: m.c(m.b(m.a(x[:, 0]).relu()).relu()).mean(1),
        8,
        _tie({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8), "c": nn.Linear(8, 8)}, ("a", "c")),
    ),
    "tied columns": lambda: (
        _tied_columns,
        8,
        _tie(
            {
                "stem": conv(3, 8),
                "a": nn.Linear(8, 12),
                "b": nn.Linear(12, 8),
                "c": nn.Linear(8, 12),
                "d": nn.Linear(12, 8),
            },
            ("b", "d"),
        ),
    ),
    "tied in a residual": lambda: (
        lambda m, x: pool((m.b(y) + m.c(m.b(y).relu())) if (y := m.a(x).relu()) is not None else x),
        8,
        _tie({"a": conv(3, 8), "b": conv(8, 8), "c": conv(8, 8)}, ("b", "c")),
    ),
    "transposed weight": lambda: (_functional, 16, {"a": nn.Linear(192, 24)}),
    "layer used twice": lambda: (_twice, 8, {"a": conv(3, 8), "b": conv(8, 8)}),
    "layer norm": lambda: (
        lambda m, x: m.b(m.n(m.a(x[:, 0])).relu()).mean(1),
        8,
        {"a": nn.Linear(8, 16), "n": nn.LayerNorm(16), "b": nn.Linear(16, 8)},
    ),
    "group norm": lambda: (
        lambda m, x: pool(m.n(m.a(x)).relu()),
        8,
        {"a": conv(3, 8), "n": nn.GroupNorm(2, 8)},
    ),
    "instance norm": lambda: (
        lambda m, x: m.n(m.a(x)).relu().flatten(1),
        512,
        {"a": conv(3, 8), "n": nn.InstanceNorm2d(8, affine=True)},
    ),
    "response norm": lambda: (
        lambda m, x: pool(functional.local_response_norm(m.a(x).relu(), 3, alpha=1)),
        8,
        {"a": conv(3, 8)},
    ),
    "maxout": lambda: (
        lambda m, x: pool(m.b(m.a(x).unflatten(1, (4, 2)).amax(2))),
        8,
        {"a": conv(3, 8), "b": conv(4, 8)},
    ),
    "over channels": lambda: (lambda m, x: m.a(x).relu().amax(1).flatten(1), 64, {"a": conv(3, 8)}),
    "softmax over channels": lambda: (
        lambda m, x: pool(m.b(m.a(x).softmax(1))),
        8,
        {"a": conv(3, 8), "b": conv(8, 8)},
    ),
    "running sum": lambda: (
        lambda m, x: pool(m.b(m.a(x).relu().cumsum(1))),
        8,
        {"a": conv(3, 8), "b": conv(8, 8)},
    ),
    "outer product": lambda: (
        lambda m, x: torch.einsum("bi,bj->bij", pool(m.a(x)).relu(), pool(m.b(x)).relu()).flatten(1),
        64,
        {"a": conv(3, 8), "b": conv(3, 8)},
    ),
    "recurrent": lambda: (
        lambda m, x: m.b(m.a(x[:, 0]).relu())[0][:, -1],
        8,
        {"a": nn.Linear(8, 12), "b": nn.LSTM(12, 8, batch_first=True)},
    ),
    "bilinear": lambda: (
        lambda m, x: m.c(pool(m.a(x)).relu(), pool(m.b(x)).relu()),
        8,
        {"a": conv(3, 8), "b": conv(3, 8), "c": nn.Bilinear(8, 8, 8)},
    ),
}
