"""Drawn: a random graph of these blocks, the same for the same seed, and rows for it."""

import random

import numpy as np
from onnx import TensorProto

from export.data.datasets import Split
from tests.export.graphs import split_of, value
from tests.export.property import graph_map_blocks, graph_row_blocks
from tests.export.property.blocks import Form
from tests.export.property.graph_builder import Drawing

_SHAPES = ((3, 6, 6), (3, 6, 6), (5, 6), (12,))


def draw_graph(seed: int) -> tuple[bytes, tuple[int, ...]]:
    """`x` [batch, ...] through random blocks to `y` [batch, 4], sometimes beside the vector that `y` is made
    of, under an odd name; and the shape of a row."""
    draw = Drawing(seed)
    dice = draw.dice
    shape = dice.choice(_SHAPES)
    h, form = "x", _form(shape)
    while form.kind != "vector":
        stay, leave = (
            (graph_map_blocks.STAY, graph_map_blocks.LEAVE)
            if form.kind == "map"
            else (graph_row_blocks.OVER_TIME, graph_row_blocks.LEAVE)
        )
        for block in [*dice.choices(stay, k=dice.randint(1, 4)), dice.choice(leave)]:
            h, form = block(draw, h, form)
    for block in dice.choices(graph_row_blocks.STAY, k=dice.randint(0, 3)):
        h, form = block(draw, h, form)
    outputs = [value("y", TensorProto.FLOAT, "batch", 4)]
    if h != "x" and dice.random() < 0.3:
        outputs.append(value(h, TensorProto.FLOAT, "batch", form.width))
    weight = draw.draw_weight(form.width, 4, inputs=form.width, channels=1)
    scores = draw.one("Gemm", h, weight, draw.draw_bias(4))
    draw.add(dice.choice(("Identity", "Identity", "Softmax", "Sigmoid")), scores, output="y")
    return draw.finish([value("x", TensorProto.FLOAT, "batch", *shape)], outputs), shape


def draw_rows(seed: int, shape: tuple[int, ...], count: int, part: int) -> Split:
    """Random rows of this shape; those of one seed have one middle and one width."""
    middle, width = random.Random(seed).choice(((0, 1), (0, 1), (0, 20), (3, 1), (0, 0.01)))
    array = np.random.default_rng((seed, part)).normal(middle, width, (count, *shape))
    return split_of({"x": array.astype(np.float32)})


def _form(shape: tuple[int, ...]) -> Form:
    match shape:
        case (width, size, _):
            return Form(kind="map", width=width, size=size)
        case (size, width):
            return Form(kind="sequence", width=width, size=size)
        case _:
            return Form(kind="vector", width=shape[0])
