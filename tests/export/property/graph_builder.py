"""Drawing: nodes and weights of random graphs, with unusual names and sizes that are hard for 8 bits."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.export.graphs import Builder
from tests.export.property.blocks import Form

# Names that exporters write, and names that tools are likely to give to values of their own.
_NAMES = (
    "0",
    "é",
    "a:b",
    "/net/0/MatMul_output_0",
    "x_scale",
    "x_integers",
    "w_quantized",
    "w_transposed",
    "layer norm",
    "h//made",
    "y_zero_point",
    "Conv_quant",
    "y_without_bias",
    "b0",
)
_ACTIVATIONS: tuple[tuple[str, dict[str, float]], ...] = (
    ("Relu", {}),
    ("Relu", {}),
    ("Relu", {}),
    ("Gelu", {}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("HardSwish", {}),
    ("LeakyRelu", {"alpha": 0.1}),
)


class Drawing(Builder):
    """A builder with random choices; unnamed values get unusual names."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.dice = random.Random(seed)
        self._taken = {"x", "y", "z"}

    def invent(self) -> str:
        """A name that nothing has."""
        name = number = self.dice.choice(_NAMES)
        while name in self._taken:
            name = f"{number}{self.dice.randrange(10_000)}"
        self._taken.add(name)
        return name

    def put(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """A node, with a name or none, and its outputs."""
        made = [self.invent() for _ in range(outputs)]
        name = self.dice.choice(("", self.invent()))
        self.nodes.append(helper.make_node(operator, inputs, made, name, **attributes))
        return made

    def one(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.put(operator, *inputs, **attributes)[0]

    def store(self, array: Any) -> str:
        """Add a constant."""
        name = self.invent()
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def whole(self, *numbers: int) -> str:
        """A constant of whole numbers: axes, a shape, sizes."""
        return self.store(np.array(numbers, np.int64))

    def draw_weight(self, *shape: int, inputs: int, channels: int = 0) -> str:
        """Return random weights for `inputs` inputs; sometimes one channel (a dimension) is small, large or
        0."""
        array = self.random.normal(0, inputs**-0.5, shape).astype(np.float32)
        if self.dice.random() < 0.2:
            one = self.dice.randrange(shape[channels])
            np.moveaxis(array, channels, 0)[one] *= self.dice.choice((0, 1e-8, 1e-3, 4))
        return self.store(array)

    def draw_bias(self, channels: int, scale: float = 0.3) -> str:
        """One number a channel."""
        return self.store(self._floats(channels) * np.float32(scale))

    def act(self, x: str) -> str:
        """Behind it an activation, a Clip or nothing."""
        if self.dice.random() < 0.1:
            return x
        if self.dice.random() < 0.15:
            low, high = self.dice.choice(((0, 6), (-1, 1), (0, 1)))
            return self.one("Clip", x, self.store(np.float32(low)), self.store(np.float32(high)))
        operator, attributes = self.dice.choice(_ACTIVATIONS)
        return self.one(operator, x, **attributes)

    def _floats(self, *shape: int) -> NDArray[np.float32]:
        return self.random.normal(0, 1, shape).astype(np.float32)


# Adds nodes after a value of this form. Returns the name of the result and its form.
Draw = Callable[[Drawing, str, Form], tuple[str, Form]]
