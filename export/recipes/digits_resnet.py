"""The model and data of the recipe digits_resnet: a ResNet-18 on scikit-learn's digits, enlarged to 32x32
pixels.

`python -m export.recipes.digits_resnet` trains the network. It is large enough for compression to matter, on
a small task."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, relu

from export.data.datasets import read_data
from export.recipes.digits import Rows, digits_data
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit

Images = NDArray[np.float32]

_TRAINING = Training(epochs=4, batch_size=64, learning_rate=1e-3)
_SIDE = 32
_MOST_SHIFT = 3


class Block(torch.nn.Module):
    """Two 3x3 convolutions with a shortcut; the first one may halve the height and width."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(channels, width, 3, stride)
        self.second = _convolution(width, width, 3, 1)
        same = stride == 1 and channels == width
        self.shortcut = torch.nn.Identity() if same else _convolution(channels, width, 1, stride)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map [batch, channels, side, side] to [batch, width, side / stride, side / stride]."""
        return relu(self.second(relu(self.first(image))) + self.shortcut(image))


class DigitsResNet(torch.nn.Module):
    """ResNet-18 with a 3x3 stem; takes `image` [batch, 1, 32, 32] and returns ten logits."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(_convolution(1, widths[0], 3, 2), torch.nn.ReLU())
        channels = (widths[0], *widths)
        self.stages = torch.nn.Sequential(
            *(
                torch.nn.Sequential(Block(channels[stage], width, min(stage, 1) + 1), Block(width, width, 1))
                for stage, width in enumerate(widths)
            )
        )
        self.head = torch.nn.Linear(widths[-1], 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the ten logits of each row."""
        logits: torch.Tensor = self.head(self.stages(self.stem(image)).mean((2, 3)))
        return logits


def digits_resnet_model(widths: Sequence[int] = (64, 128, 256, 512)) -> DigitsResNet:
    """Return the untrained network, with 11,172,810 parameters by default."""
    return DigitsResNet(widths)


def digits_resnet_data(seed: int = 0, side: int = _SIDE) -> dict[str, Rows]:
    """Return the splits of `digits` with each scan enlarged to `side` by `side` pixels; train contains a
    shifted copy of each, too."""
    splits = {
        name: ({"image": _enlarge(inputs["image"], side)}, labels)
        for name, (inputs, labels) in digits_data(seed).items()
    }
    (inputs, labels) = splits["train"]
    moved = _move(inputs["image"], side * _MOST_SHIFT // _SIDE, np.random.default_rng(seed))
    splits["train"] = ({"image": np.concatenate((inputs["image"], moved))}, np.concatenate((labels, labels)))
    return splits


def train(out: Path) -> None:
    """Train the network and write `digits-resnet.safetensors` and `inputs.npz` (held-out images) to `out`."""
    data = read_data(digits_resnet_data(), "digits_resnet_data")
    with reproducible():
        seed_everything(0)
        model = fit(digits_resnet_model(), data, _TRAINING, seed=0)
    leave(out, "digits-resnet", model, data.held_out.inputs)


def _convolution(channels: int, width: int, size: int, stride: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False),
        torch.nn.BatchNorm2d(width),
    )


def _enlarge(images: Images, side: int) -> Images:
    large = interpolate(torch.from_numpy(images), size=(side, side), mode="bilinear", align_corners=False)
    enlarged: Images = large.numpy()
    return enlarged


def _move(images: Images, most: int, generator: np.random.Generator) -> Images:
    """Shift each image by up to `most` pixels in each direction, filling with background."""
    moves = generator.integers(-most, most + 1, size=(len(images), 2))
    return np.stack([np.roll(image, move, (1, 2)) for image, move in zip(images, moves, strict=True)])


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("digits_resnet", "Train the digits-resnet network, about 3 minutes.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
