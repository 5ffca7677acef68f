"""The model and data of the recipe digits: a small convolutional network on scikit-learn's 1,797 handwritten
digits.

`python -m export.recipes.digits` trains the network, as a team would have done long before an export."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.data.datasets import read_data
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit

Rows = tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]

_TRAINING = Training(epochs=12, batch_size=64, learning_rate=3e-3)


class DigitsNet(torch.nn.Module):
    """Three convolutions and two linear layers; takes `image` [batch, 1, 8, 8] and returns ten logits."""

    def __init__(self, widths: Sequence[int], hidden: int) -> None:
        super().__init__()
        first, second, third = widths
        self.features = torch.nn.Sequential(
            *convolution(1, first),
            *convolution(first, second),
            torch.nn.MaxPool2d(2),
            *convolution(second, third),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(third * 2 * 2, hidden),
            torch.nn.ReLU(),
        )
        self.head = torch.nn.Linear(hidden, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the ten logits of each row."""
        logits: torch.Tensor = self.head(self.features(image))
        return logits


def digits_model(widths: Sequence[int] = (32, 64, 128), hidden: int = 112) -> DigitsNet:
    """Return the untrained network, with 151,482 parameters by default."""
    return DigitsNet(widths, hidden)


def digits_data(seed: int = 0) -> dict[str, Rows]:
    """Return the four splits, stratified by digit, without exact duplicates."""
    # The model does not need this import.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    _, firsts = np.unique(pixels, axis=0, return_index=True)
    rest = np.sort(firsts)
    splits: dict[str, Rows] = {}
    for name, rows in (("held_out", 450), ("search", 250), ("calibration", 200)):
        rest, taken = train_test_split(rest, test_size=rows, stratify=labels[rest], random_state=seed)
        splits[name] = _read_rows(pixels, labels, taken)
    splits["train"] = _read_rows(pixels, labels, rest)
    return splits


def train(out: Path) -> None:
    """Train the network and write `digits.safetensors` and `inputs.npz` (held-out images) to `out`."""
    data = read_data(digits_data(), "digits_data")
    with reproducible():
        seed_everything(0)
        model = fit(digits_model(), data, _TRAINING, seed=0)
    leave(out, "digits", model, data.held_out.inputs)


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("digits", "Train the digits network, about 5 seconds.", arguments))
    return 0


def convolution(channels: int, width: int) -> list[torch.nn.Module]:
    """Return a convolution that keeps the size, with normalization and activation."""
    return [
        torch.nn.Conv2d(channels, width, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(width),
        torch.nn.ReLU(),
    ]


def _read_rows(pixels: NDArray[np.float64], labels: NDArray[np.int64], rows: NDArray[np.int64]) -> Rows:
    return {"image": (pixels[rows] / 16).astype(np.float32).reshape(-1, 1, 8, 8)}, labels[rows]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
