"""Drawn rows: blocks of graphs on sequences [batch, size, width] and on vectors [batch, width]."""

import numpy as np

from tests.export.property.blocks import Form
from tests.export.property.graph_builder import Draw, Drawing


def _linear(draw: Drawing, x: str, inputs: int, outputs: int) -> str:
    """A product, and a bias in front, behind or nowhere."""
    h = draw.one("MatMul", x, draw.draw_weight(inputs, outputs, inputs=inputs, channels=1))
    match draw.dice.choice(("front", "behind", "behind", "none")):
        case "front":
            return draw.one("Add", draw.draw_bias(outputs), h)
        case "behind":
            return draw.one("Add", h, draw.draw_bias(outputs))
        case _:
            return h


def _plain(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    width = draw.dice.choice((6, 8, 33))
    return draw.act(_linear(draw, x, form.width, width)), _like(form, width)


def _tied(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """Use one square matrix twice, the second time as it is or transposed."""
    w = form.width
    weight = draw.draw_weight(w, w, inputs=w)
    h = draw.act(draw.one("MatMul", x, weight))
    turned = draw.one("Transpose", weight, perm=[1, 0]) if draw.dice.random() < 0.5 else weight
    return draw.one("MatMul", h, turned), form


def _residual(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    inner = draw.act(_linear(draw, x, form.width, 16))
    h = draw.one("Add", x, _linear(draw, inner, 16, form.width))
    if draw.dice.random() < 0.5:
        return h, form
    scale = draw.store(draw.random.uniform(0.5, 1.5, form.width).astype(np.float32))
    return draw.one("LayerNormalization", h, scale, draw.draw_bias(form.width), axis=-1), form


def _split(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """Halves of a product, one the other's gate, or joined again."""
    h = _linear(draw, x, form.width, 12)
    one, two = draw.put("Split", h, draw.whole(6, 6), outputs=2, axis=-1)
    if draw.dice.random() < 0.5:
        return draw.one("Mul", one, draw.one("Sigmoid", two)), _like(form, 6)
    return draw.one("Concat", two, draw.act(one), axis=-1), _like(form, 12)


def _softmax(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    h = draw.one("Softmax", _linear(draw, x, form.width, 8), axis=-1)
    return draw.one("Mul", h, draw.store(np.float32(8))), _like(form, 8)


def _attention(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """Two heads of four numbers."""
    turned = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        h = draw.one("Reshape", _linear(draw, x, form.width, 8), draw.whole(0, 0, 2, 4))
        turned.append(draw.one("Transpose", h, perm=perm))
    scores = draw.one("Mul", draw.one("MatMul", turned[0], turned[1]), draw.store(np.float32(0.5)))
    h = draw.one("MatMul", draw.one("Softmax", scores, axis=-1), turned[2])
    h = draw.one("Reshape", draw.one("Transpose", h, perm=[0, 2, 1, 3]), draw.whole(0, 0, 8))
    return _linear(draw, h, 8, form.width), form


def _lstm(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """Add an LSTM that returns all steps, in one direction or both."""
    ways = draw.dice.choice((1, 2))
    steps = draw.one("Transpose", x, perm=[1, 0, 2])
    values = [draw.draw_weight(ways, 24, width, inputs=width, channels=1) for width in (form.width, 6)]
    bias = [draw.store(draw.random.normal(0, 0.3, (ways, 48)).astype(np.float32))][: draw.dice.choice((0, 1))]
    direction = "bidirectional" if ways == 2 else draw.dice.choice(("forward", "reverse"))
    every = draw.one("LSTM", steps, *values, *bias, hidden_size=6, direction=direction)
    h = draw.one("Transpose", every, perm=[2, 0, 1, 3])
    return draw.one("Reshape", h, draw.whole(0, form.size, 6 * ways)), _like(form, 6 * ways)


def _gru(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    steps = draw.one("Transpose", x, perm=[1, 0, 2])
    values = [draw.draw_weight(1, 18, width, inputs=width, channels=1) for width in (form.width, 6)]
    every = draw.one("GRU", steps, *values, hidden_size=6)
    h = draw.one("Transpose", draw.one("Squeeze", every, draw.whole(1)), perm=[1, 0, 2])
    return h, _like(form, 6)


def _over_time(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """A convolution of three steps."""
    h = draw.one("Transpose", x, perm=[0, 2, 1])
    weight = draw.draw_weight(8, form.width, 3, inputs=3 * form.width)
    h = draw.act(draw.one("Conv", h, weight, draw.draw_bias(8), pads=[1, 1]))
    return draw.one("Transpose", h, perm=[0, 2, 1]), _like(form, 8)


def _averaged(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    return draw.one("ReduceMean", x, draw.whole(1), keepdims=0), Form(kind="vector", width=form.width)


def _last(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    return draw.one("Gather", x, draw.store(np.int64(form.size - 1)), axis=1), _vector(form.width)


def _flattened(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    return draw.one("Flatten", x), _vector(form.width * form.size)


def _gemm(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """Add a Gemm with factors and a bias of any shape."""
    width = draw.dice.choice((5, 8, 16))
    turned = draw.dice.randrange(2)
    shape = (width, form.width) if turned else (form.width, width)
    weight = draw.draw_weight(*shape, inputs=form.width, channels=1 - turned)
    forms: tuple[tuple[int, ...] | None, ...] = ((width,), (width,), (1, width), (1,), (), None)
    bias = draw.dice.choice(forms)
    values = [] if bias is None else [draw.store(draw.random.normal(0, 0.5, bias).astype(np.float32))]
    alpha, beta = (draw.dice.choice((1.0, 1.0, 0.5, 3.0)) for _ in range(2))
    return draw.act(draw.one("Gemm", x, weight, *values, transB=turned, alpha=alpha, beta=beta)), _vector(
        width
    )


def _like(form: Form, width: int) -> Form:
    return Form(kind=form.kind, width=width, size=form.size)


def _vector(width: int) -> Form:
    return Form(kind="vector", width=width)


OVER_TIME: tuple[Draw, ...] = (
    *(_plain, _tied, _residual, _split, _softmax, _attention, _lstm, _lstm, _gru, _over_time),
)
LEAVE: tuple[Draw, ...] = (_averaged, _last, _flattened)
STAY: tuple[Draw, ...] = (_plain, _tied, _residual, _split, _softmax, _gemm, _gemm, _gemm)
