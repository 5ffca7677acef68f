"""The model and data of the recipe two_digits: a small convolutional network that tells which digits are in
an image of two.

`python -m export.recipes.two_digits` trains the network."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.data.datasets import read_data
from export.recipes.canvas import make_canvases
from export.recipes.digits import convolution
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit
from serve.bundles.meaning import Rule

Rows = tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]

_TRAINING = Training(epochs=12, batch_size=64, learning_rate=5e-3)
_ROWS = {"train": 3000, "calibration": 200, "search": 400, "held_out": 800}
_DIGITS = 10


class TwoDigitsNet(torch.nn.Module):
    """Three convolutions, the maximum over all places, and a linear layer; takes `image` [batch, 1, 20, 20]
    and returns one logit per digit: above 0, the digit is in the image."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        first, second, third = widths
        self.features = torch.nn.Sequential(
            *convolution(1, first),
            *convolution(first, second),
            torch.nn.MaxPool2d(2),
            *convolution(second, third),
            torch.nn.AdaptiveMaxPool2d(1),
            torch.nn.Flatten(),
        )
        self.head = torch.nn.Linear(third, _DIGITS)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the ten logits of each row."""
        logits: torch.Tensor = self.head(self.features(image))
        return logits


def two_digits_model(widths: Sequence[int] = (16, 32, 64)) -> TwoDigitsNet:
    """Return the untrained network, with 24,058 parameters by default."""
    return TwoDigitsNet(widths)


def two_digits_data(seed: int = 0) -> dict[str, Rows]:
    """Return the four splits; a label is 1 for each digit in the image, which may show the same one twice."""
    splits = {}
    for name, canvases in make_canvases(_ROWS, 2, seed).items():
        labels = np.zeros((len(canvases.images), _DIGITS), np.int64)
        np.put_along_axis(labels, canvases.digits, 1, axis=1)
        splits[name] = {"image": canvases.images}, labels
    return splits


def train(out: Path) -> None:
    """Train the network and write `two-digits.safetensors` and `inputs.npz` (held-out images) to `out`."""
    data = read_data(two_digits_data(), "two_digits_data", task="multilabel")
    with reproducible():
        seed_everything(0)
        model = fit(two_digits_model(), data, _TRAINING, seed=0, rule=Rule(kind="labels", threshold=0))
    leave(out, "two-digits", model, data.held_out.inputs)


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("two_digits", "Train the network of two_digits, about 30 seconds.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
