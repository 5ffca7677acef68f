"""The model and data of the recipe digit_map: a small network that tells for each pixel of an image to which
digit it belongs.

`python -m export.recipes.digit_map` trains the network."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from export.data.datasets import read_data
from export.recipes.canvas import make_canvases
from export.recipes.digits import convolution
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit
from serve.bundles.meaning import Rule

Rows = tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]

_TRAINING = Training(epochs=15, batch_size=32, learning_rate=5e-3)
_ROWS = {"train": 1500, "calibration": 100, "search": 200, "held_out": 400}
_DIGITS_PER_IMAGE = 3
# The background and ten digits.
_CLASSES = 11


class DigitMapNet(torch.nn.Module):
    """Two convolutions at full size and two at half size, whose result is enlarged and added; takes `image`
    [batch, 1, 20, 20] and returns the logits of eleven classes for each pixel, [batch, 11, 20, 20]."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        first, second = widths
        self.fine = torch.nn.Sequential(*convolution(1, first), *convolution(first, first))
        self.coarse = torch.nn.Sequential(
            torch.nn.MaxPool2d(2),
            *convolution(first, second),
            *convolution(second, second),
            *convolution(second, second),
            torch.nn.Conv2d(second, first, 1),
        )
        self.head = torch.nn.Conv2d(first, _CLASSES, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits of each pixel."""
        fine = self.fine(image)
        coarse = interpolate(self.coarse(fine), scale_factor=2.0, mode="nearest")
        scores: torch.Tensor = self.head(torch.relu(fine + coarse))
        return scores


def digit_map_model(widths: Sequence[int] = (24, 48)) -> DigitMapNet:
    """Return the untrained network, with 59,075 parameters by default."""
    return DigitMapNet(widths)


def digit_map_data(seed: int = 0) -> dict[str, Rows]:
    """Return the four splits; the label of a pixel is 0 for the background, else the digit plus 1."""
    return {
        name: ({"image": canvases.images}, canvases.map_classes())
        for name, canvases in make_canvases(_ROWS, _DIGITS_PER_IMAGE, seed).items()
    }


def train(out: Path) -> None:
    """Train the network and write `digit-map.safetensors` and `inputs.npz` (held-out images) to `out`."""
    data = read_data(digit_map_data(), "digit_map_data", task="segmentation")
    with reproducible():
        seed_everything(0)
        model = fit(digit_map_model(), data, _TRAINING, seed=0, rule=Rule(kind="classes", axis=1))
    leave(out, "digit-map", model, data.held_out.inputs)


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("digit_map", "Train the network of digit_map, about 40 seconds.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
