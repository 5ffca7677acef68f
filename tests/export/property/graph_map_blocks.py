"""Drawn maps: blocks of graphs on [batch, width, size, size]."""

import numpy as np

from tests.export.property.blocks import Form
from tests.export.property.graph_builder import Draw, Drawing


def _conv(draw: Drawing, x: str, widths: tuple[int, int], kernel: int = 3, **more: int) -> str:
    """A convolution that keeps the size where the stride is 1, its padding written one way or the other."""
    (inputs, outputs), group, stride = widths, more.get("group", 1), more.get("stride", 1)
    fan = inputs // group * kernel**2
    values = [draw.draw_weight(outputs, inputs // group, kernel, kernel, inputs=fan)]
    if draw.dice.random() < 0.7:
        values.append(draw.draw_bias(outputs))
    pads = {"pads": [kernel // 2] * 4} if draw.dice.random() < 0.7 else {"auto_pad": "SAME_UPPER"}
    return draw.one("Conv", x, *values, group=group, strides=[stride] * 2, **pads)


def _plain(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    width, kernel = draw.dice.choice((4, 8, 12)), draw.dice.choice((1, 3))
    return draw.act(_conv(draw, x, (form.width, width), kernel)), _map(width, form.size)


def _strided(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    stride = 2 if form.size > 2 else 1
    return draw.act(_conv(draw, x, (form.width, 8), stride=stride)), _map(8, -(-form.size // stride))


def _normed(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    h = _conv(draw, x, (form.width, 8))
    scales = [draw.store(draw.random.uniform(0.5, 1.5, 8).astype(np.float32)) for _ in range(2)]
    h = draw.one("BatchNormalization", h, scales[0], draw.draw_bias(8), draw.draw_bias(8), scales[1])
    return draw.act(h), _map(8, form.size)


def _depthwise(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    h = draw.act(_conv(draw, x, (form.width, form.width), group=form.width))
    return _conv(draw, h, (form.width, 8), 1), _map(8, form.size)


def _grouped(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """Grouped, with a channel shuffle behind it."""
    h = draw.act(_conv(draw, x, (form.width, 8), group=2 - form.width % 2))
    s = form.size
    h = draw.one("Reshape", h, draw.whole(0, 2, 4, s, s))
    h = draw.one("Transpose", h, perm=[0, 2, 1, 3, 4])
    h = draw.one("Reshape", h, draw.whole(0, 8, s, s))
    return _conv(draw, h, (8, 8), group=draw.dice.choice((1, 2, 8))), _map(8, s)


def _residual(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    h = _conv(draw, draw.act(_conv(draw, x, (form.width, 8))), (8, form.width), draw.dice.choice((1, 3)))
    pair = [x, h] if draw.dice.random() < 0.5 else [h, x]
    return draw.act(draw.one("Add", *pair)), form


def _tied(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """One weight and one bias, used twice."""
    w = form.width
    values = draw.draw_weight(w, w, 3, 3, inputs=9 * w), draw.draw_bias(w)
    h = draw.act(draw.one("Conv", x, *values, pads=[1] * 4))
    return draw.act(draw.one("Conv", h, *values, pads=[1] * 4)), form


def _split(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    first = draw.dice.choice((4, 6))
    h = draw.act(_conv(draw, x, (form.width, 12)))
    one, two = draw.put("Split", h, draw.whole(first, 12 - first), outputs=2, axis=1)
    parts = [_conv(draw, one, (first, 4)), draw.act(two) if draw.dice.random() < 0.5 else two]
    return draw.one("Concat", *parts, axis=1), _map(4 + 12 - first, form.size)


def _branches(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    parts = [draw.act(_conv(draw, x, (form.width, 4), kernel)) for kernel in (1, 3)]
    pooled = draw.one(draw.dice.choice(("MaxPool", "AveragePool")), x, kernel_shape=[3, 3], pads=[1] * 4)
    return draw.one("Concat", *parts, pooled, axis=1), _map(8 + form.width, form.size)


def _excite(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """Each channel times its weight, a sigmoid or a share of all."""
    h = draw.one("Relu", _conv(draw, draw.one("GlobalAveragePool", x), (form.width, 4), 1))
    h = _conv(draw, h, (4, form.width), 1)
    gate = draw.one("Sigmoid", h) if draw.dice.random() < 0.6 else draw.one("Softmax", h, axis=1)
    return draw.one("Mul", x, gate), form


def _upwards(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    up = draw.draw_weight(form.width, 8, 2, 2, inputs=form.width, channels=1)
    h = draw.act(draw.one("ConvTranspose", x, up, strides=[2, 2]))
    return draw.act(_conv(draw, h, (8, 8), stride=2)), _map(8, form.size)


def _channels_last(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    h = draw.one("Transpose", x, perm=[0, 2, 3, 1])
    h = draw.act(draw.one("MatMul", h, draw.draw_weight(form.width, 8, inputs=form.width, channels=1)))
    return draw.one("Transpose", h, perm=[0, 3, 1, 2]), _map(8, form.size)


def _scaled(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    factor, shift = draw.dice.choice((0.01, 3, 100)), draw.dice.choice((0, 1, -5))
    h = draw.one("Mul", x, draw.store(np.float32(factor)))
    return draw.one("Add", h, draw.store(np.float32(shift))), form


def _pooled(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    return draw.one("Flatten", draw.one("GlobalAveragePool", x)), Form(kind="vector", width=form.width)


def _flattened(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    if draw.dice.random() < 0.5:
        x = draw.one("Transpose", x, perm=[0, 2, 3, 1])
    return draw.one("Flatten", x), Form(kind="vector", width=form.width * form.size**2)


def _read(draw: Drawing, x: str, form: Form) -> tuple[str, Form]:
    """Each pixel a step of a sequence."""
    h = draw.one("Reshape", x, draw.whole(0, form.width, form.size**2))
    h = draw.one("Transpose", h, perm=[0, 2, 1])
    return h, Form(kind="sequence", width=form.width, size=form.size**2)


def _map(width: int, size: int) -> Form:
    return Form(kind="map", width=width, size=size)


STAY: tuple[Draw, ...] = (
    _plain,
    _strided,
    _normed,
    _depthwise,
    _grouped,
    _residual,
    _tied,
    _split,
    _branches,
    _excite,
    _upwards,
    _channels_last,
    _scaled,
)
LEAVE: tuple[Draw, ...] = (_pooled, _flattened, _read)
