"""Maps: blocks of convolutions."""

import random
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tests.export.property.blocks import Form, Laid, Lay, choose_activation, conv, shuffle


def _plain(dice: random.Random, form: Form) -> Laid:
    width, act = dice.choice((4, 8, 12)), choose_activation(dice)
    layers = {
        "a": conv(form.width, width, dice.choice((1, 3)), bias=dice.random() < 0.5),
        "n": nn.BatchNorm2d(width),
    }
    return lambda m, x: act(m.n(m.a(x))), layers, Form(kind="map", width=width, size=form.size)


def _grouped(dice: random.Random, form: Form) -> Laid:
    act, layers = (
        choose_activation(dice),
        {"a": conv(form.width, 8, groups=2 - form.width % 2), "b": conv(8, 8, 1)},
    )
    return lambda m, x: m.b(act(m.a(x))), layers, Form(kind="map", width=8, size=form.size)


def _depthwise(dice: random.Random, form: Form) -> Laid:
    act, w = choose_activation(dice), form.width
    return lambda m, x: m.b(act(m.a(x))), {"a": conv(w, w, groups=w), "b": conv(w, w, 1)}, form


def _residual(dice: random.Random, form: Form) -> Laid:
    act, w = choose_activation(dice), form.width
    layers = {"a": conv(w, 12), "n": nn.BatchNorm2d(12), "b": conv(12, w, 1)}
    return lambda m, x: x + m.b(act(m.n(m.a(x)))), layers, form


def _concat(dice: random.Random, form: Form) -> Laid:
    act, layers = (
        choose_activation(dice),
        {"a": conv(form.width, 4), "b": conv(form.width, 6, 1), "c": conv(10, 8, 1)},
    )
    return (
        lambda m, x: m.c(act(torch.cat([m.a(x), m.b(x)], 1))),
        layers,
        Form(kind="map", width=8, size=form.size),
    )


def _split(dice: random.Random, form: Form) -> Laid:
    first = dice.choice((4, 6))
    layers = {"a": conv(form.width, 12), "b": conv(first, 4), "c": conv(12 - first, 4)}

    def way(m: Any, x: Any) -> Any:
        one, two = torch.split(m.a(x).relu(), [first, 12 - first], 1)
        return torch.cat([m.b(one), m.c(two)], 1)

    return way, layers, Form(kind="map", width=8, size=form.size)


def _shuffle(dice: random.Random, form: Form) -> Laid:
    groups, act = dice.choice((2, 4)), choose_activation(dice)
    layers = {"a": conv(form.width, 8), "b": conv(8, 8, groups=dice.choice((1, 2, 8)))}
    return lambda m, x: m.b(shuffle(act(m.a(x)), groups)), layers, Form(kind="map", width=8, size=form.size)


def _excite(dice: random.Random, form: Form) -> Laid:
    w = form.width
    layers = {"a": conv(w, 4, 1), "b": conv(4, w, 1)}
    return lambda m, x: x * m.b(m.a(x.mean((2, 3), keepdim=True)).relu()).sigmoid(), layers, form


def _gate(dice: random.Random, form: Form) -> Laid:
    return (
        lambda m, x: functional.glu(m.a(x), 1),
        {"a": conv(form.width, 16)},
        Form(kind="map", width=8, size=form.size),
    )


def _softmax(dice: random.Random, form: Form) -> Laid:
    axis = dice.choice((1, 2, 3))
    return lambda m, x: x * x.softmax(axis) * 4, {}, form


def _transpose(dice: random.Random, form: Form) -> Laid:
    return lambda m, x: m.a(x.transpose(2, 3)), {"a": conv(form.width, form.width)}, form


def _tied(dice: random.Random, form: Form) -> Laid:
    act, layers = (
        choose_activation(dice),
        {"a": conv(form.width, 8, 1), "b": conv(8, form.width), "c": conv(form.width, 8, 1)},
    )
    layers["c"].weight = layers["a"].weight
    return lambda m, x: m.c(act(m.b(act(m.a(x))))), layers, Form(kind="map", width=8, size=form.size)


def _twice(dice: random.Random, form: Form) -> Laid:
    act = choose_activation(dice)
    return lambda m, x: m.a(act(m.a(x))), {"a": conv(form.width, form.width)}, form


def _pool(dice: random.Random, form: Form) -> Laid:
    if form.size < 4:
        return lambda m, x: functional.max_pool2d(x, 3, 1, 1), {}, form
    halve = dice.choice((functional.max_pool2d, functional.avg_pool2d))
    return lambda m, x: halve(x, 2), {}, Form(kind="map", width=form.width, size=form.size // 2)


def _grow(dice: random.Random, form: Form) -> Laid:
    if form.size > 4:
        return _plain(dice, form)
    layers = {"a": nn.ConvTranspose2d(form.width, 6, 2, 2)}
    return lambda m, x: m.a(x), layers, Form(kind="map", width=6, size=form.size * 2)


def _slice(dice: random.Random, form: Form) -> Laid:
    start, step = dice.choice(((0, 1), (1, 1), (0, 2)))
    layers = {"a": conv(form.width, 12), "b": conv(len(range(12)[start:10:step]), 8)}
    return (
        lambda m, x: m.b(m.a(x).relu()[:, start:10:step]),
        layers,
        Form(kind="map", width=8, size=form.size),
    )


def _flatten(dice: random.Random, form: Form) -> Laid:
    order = dice.choice(((0, 1, 2, 3), (0, 2, 3, 1), (0, 1, 3, 2), (0, 2, 1, 3)))
    return (
        lambda m, x: functional.adaptive_avg_pool2d(x, 2).permute(order).flatten(1),
        {},
        Form(kind="vector", width=form.width * 4),
    )


def _mean(dice: random.Random, form: Form) -> Laid:
    return lambda m, x: x.mean((2, 3)), {}, Form(kind="vector", width=form.width)


def _read(dice: random.Random, form: Form) -> Laid:
    return (
        lambda m, x: functional.adaptive_avg_pool2d(x, 3).flatten(2).transpose(1, 2),
        {},
        Form(kind="sequence", width=form.width, size=9),
    )


STAY: tuple[Lay, ...] = (
    _plain,
    _plain,
    _grouped,
    _depthwise,
    _residual,
    _residual,
    _concat,
    _split,
    _shuffle,
    _excite,
    _gate,
    _softmax,
    _transpose,
    _tied,
    _twice,
    _pool,
    _grow,
    _slice,
)
LEAVE: tuple[Lay, ...] = (_flatten, _mean, _read)
