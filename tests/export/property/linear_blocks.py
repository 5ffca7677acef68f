"""Rows: blocks of linear and recurrent layers for vectors and sequences."""

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.export.property.blocks import Form, Laid, Lay, choose_activation


class Product(nn.Module):
    """A matrix product whose weight is no layer's: [inputs, outputs]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight_transposed = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        return x @ self.weight_transposed


class Branch(nn.Module):
    """A layer of a deep stack that adds to its input."""

    def __init__(self, width: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.outer, self.act = nn.Linear(width, 10), nn.Linear(10, width), act

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to the same."""
        return x + self.outer(self.act(self.inner(x)))  # type: ignore[no-any-return]


def _wider(form: Form, width: int) -> Form:
    return Form(kind=form.kind, width=width, size=form.size)


def _plain(dice: random.Random, form: Form) -> Laid:
    width, act = dice.choice((6, 8, 12)), choose_activation(dice)
    return (
        lambda m, x: act(m.a(x)),
        {"a": nn.Linear(form.width, width, dice.random() < 0.7)},
        _wider(form, width),
    )


def _product(dice: random.Random, form: Form) -> Laid:
    act = choose_activation(dice)
    layers = {"a": nn.Linear(form.width, 12), "b": Product(12, 8)}
    return lambda m, x: m.b(act(m.a(x))), layers, _wider(form, 8)


def _residual(dice: random.Random, form: Form) -> Laid:
    act = choose_activation(dice)
    layers = {"a": nn.Linear(form.width, 12), "b": nn.Linear(12, form.width)}
    return lambda m, x: x + m.b(act(m.a(x))), layers, form


def _concat(dice: random.Random, form: Form) -> Laid:
    act = choose_activation(dice)
    layers = {"a": nn.Linear(form.width, 4), "b": nn.Linear(form.width, 6), "c": nn.Linear(10, 8)}
    return lambda m, x: m.c(act(torch.cat([m.a(x), m.b(x)], -1))), layers, _wider(form, 8)


def _split(dice: random.Random, form: Form) -> Laid:
    layers = {"a": nn.Linear(form.width, 12), "b": nn.Linear(6, 8)}

    def way(m: Any, x: Any) -> Any:
        one, two = m.a(x).chunk(2, -1)
        return m.b(one * two.sigmoid())

    return way, layers, _wider(form, 8)


def _softmax(dice: random.Random, form: Form) -> Laid:
    layers = {"a": nn.Linear(form.width, 12), "b": nn.Linear(12, 8)}
    return lambda m, x: m.b(m.a(x).softmax(-1)), layers, _wider(form, 8)


def _norm(dice: random.Random, form: Form) -> Laid:
    layers = {"a": nn.Linear(form.width, 12), "n": nn.LayerNorm(12), "b": nn.Linear(12, 8)}
    return lambda m, x: m.b(m.n(m.a(x)).relu()), layers, _wider(form, 8)


def _tied(dice: random.Random, form: Form) -> Laid:
    act = choose_activation(dice)
    layers = {"a": nn.Linear(form.width, 8), "b": nn.Linear(8, form.width), "c": nn.Linear(form.width, 8)}
    layers["c"].weight = layers["a"].weight
    return lambda m, x: m.c(act(m.b(act(m.a(x))))), layers, _wider(form, 8)


def _transposed_weight(dice: random.Random, form: Form) -> Laid:
    act = choose_activation(dice)
    layers = {"a": nn.Linear(form.width, 10)}
    return lambda m, x: functional.linear(act(m.a(x)), m.a.weight.t()), layers, form


def _stack(dice: random.Random, form: Form) -> Laid:
    act = choose_activation(dice)
    return lambda m, x: m.s(x), {"s": nn.Sequential(*(Branch(form.width, act) for _ in range(4)))}, form


def _shuffle(dice: random.Random, form: Form) -> Laid:
    layers = {"a": nn.Linear(form.width, 12), "b": nn.Linear(12, 8)}

    def way(m: Any, x: Any) -> Any:
        x = m.a(x).relu()
        return m.b(x.unflatten(-1, (3, 4)).transpose(-1, -2).flatten(-2))

    return way, layers, _wider(form, 8)


def _recurrent(dice: random.Random, form: Form) -> Laid:
    kind = dice.choice((nn.LSTM, nn.GRU))
    return lambda m, x: m.a(x)[0], {"a": kind(form.width, 8, batch_first=True)}, _wider(form, 8)


def _attention(dice: random.Random, form: Form) -> Laid:
    layers = {name: nn.Linear(form.width, 8) for name in "qkv"} | {"o": nn.Linear(8, form.width)}

    def way(m: Any, x: Any) -> Any:
        q, k, v = (part(x).unflatten(-1, (2, 4)).transpose(1, 2) for part in (m.q, m.k, m.v))
        return x + m.o(((q @ k.transpose(2, 3) / 2).softmax(-1) @ v).transpose(1, 2).flatten(2))

    return way, layers, form


def _mixer(dice: random.Random, form: Form) -> Laid:
    layers = {"a": nn.Linear(form.size, 12), "b": nn.Linear(12, form.size)}
    return lambda m, x: x + m.b(m.a(x.transpose(1, 2)).relu()).transpose(1, 2), layers, form


def _mean(dice: random.Random, form: Form) -> Laid:
    return lambda m, x: x.mean(1), {}, Form(kind="vector", width=form.width)


def _last(dice: random.Random, form: Form) -> Laid:
    return lambda m, x: x[:, -1], {}, Form(kind="vector", width=form.width)


def _flatten(dice: random.Random, form: Form) -> Laid:
    turned = dice.random() < 0.5
    wide = Form(kind="vector", width=form.width * form.size)
    return lambda m, x: (x.transpose(1, 2) if turned else x).flatten(1), {}, wide


STAY: tuple[Lay, ...] = (
    _plain,
    _plain,
    _product,
    _residual,
    _concat,
    _split,
    _softmax,
    _norm,
    _tied,
    _transposed_weight,
    _stack,
    _shuffle,
)
OVER_TIME: tuple[Lay, ...] = (*STAY, _recurrent, _attention, _mixer)
LEAVE: tuple[Lay, ...] = (_mean, _last, _flatten)
