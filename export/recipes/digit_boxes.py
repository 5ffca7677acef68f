"""The model and data of the recipe digit-boxes: a small detector of handwritten digits on a canvas.

`python -m export.recipes.digit_boxes` trains it."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy, smooth_l1_loss

from export.data.datasets import Split, read_data
from export.forward import to_tensors
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.training.batches import random_batches

Rows = tuple[dict[str, NDArray[np.float32]], NDArray[np.float64]]
# Pixels of a side: of the canvas, of one of its quarters, of a cell of the detector, and of a scan.
_SIDE, _QUARTER, _CELL, _SCAN = 48, 24, 8, 16
_CLASSES = 10
_MOST_DIGITS = 3
_CANVASES = {"held_out": 300, "search": 150, "calibration": 150, "train": 1500}
_EPOCHS, _BATCH_ROWS, _LEARNING_RATE = 20, 25, 3e-3


class DigitDetector(torch.nn.Module):
    """Convolutions down to one box for each cell. Returns [batch, 4 + 10, cells]: the centre and size of each
    box in pixels, and the chance of each digit, as YOLOv8 does."""

    corners: torch.Tensor

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers = [
            torch.nn.Sequential(torch.nn.Conv2d(width, wider, 3, stride, 1), torch.nn.ReLU())
            for (width, wider), stride in zip(pairwise((1, *widths)), (2, 2, 2, 1), strict=True)
        ]
        self.body = torch.nn.Sequential(*layers)
        self.head = torch.nn.Conv2d(widths[-1], 4 + _CLASSES, 1)
        # Few cells have a digit.
        torch.nn.init.constant_(self.head.bias[4:], -4.0)  # type: ignore[index] # it has one
        rows, columns = torch.meshgrid(*(torch.arange(0, _SIDE, _CELL),) * 2, indexing="ij")
        self.register_buffer("corners", torch.stack([columns, rows]).reshape(2, -1), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the boxes of all cells of images [batch, 1, 48, 48]."""
        raw = self.head(self.body(image)).flatten(2).sigmoid()
        centres = self.corners + _CELL * raw[:, :2]
        return torch.cat([centres, _QUARTER * raw[:, 2:4], raw[:, 4:]], dim=1)


def digit_boxes_model(widths: tuple[int, ...] = (16, 32, 64, 64)) -> DigitDetector:
    """Return the untrained network, with 61,134 parameters by default."""
    return DigitDetector(tuple(widths))


def digit_boxes_data(seed: int = 0) -> dict[str, Rows]:
    """Return the four splits: canvases with one to three digits in different quarters. No scan is in two
    splits."""
    # The model does not need this import.
    from sklearn.datasets import load_digits

    random = np.random.default_rng(seed)
    scans, digits = load_digits(return_X_y=True)
    scans = np.kron(scans.reshape(-1, 8, 8) / 16, np.ones((2, 2)))
    order = random.permutation(len(digits))
    shares = np.array([*_CANVASES.values()]).cumsum() / sum(_CANVASES.values())
    parts = np.split(order, (shares[:-1] * len(order)).astype(int))
    return {
        name: _paste(scans[part], digits[part], count, random)
        for (name, count), part in zip(_CANVASES.items(), parts, strict=True)
    }


def _paste(
    scans: NDArray[np.float64], digits: NDArray[np.int64], count: int, random: np.random.Generator
) -> Rows:
    images = random.normal(0, 0.05, (count, 1, _SIDE, _SIDE)).astype(np.float32)
    labels = np.full((count, _MOST_DIGITS, 5), np.nan)
    for image, boxes in zip(images[:, 0], labels, strict=True):
        quarters = random.permutation(4)[: random.integers(1, _MOST_DIGITS + 1)]
        for place, quarter in enumerate(quarters):
            top, left = np.array(divmod(quarter, 2)) * _QUARTER + random.integers(0, _QUARTER - _SCAN + 1, 2)
            number = random.integers(len(digits))
            image[top : top + _SCAN, left : left + _SCAN] += scans[number]
            ink = np.argwhere(scans[number] > 0)
            (first, start), (last, end) = ink.min(axis=0), ink.max(axis=0) + 1
            boxes[place] = [left + start, top + first, left + end, top + last, digits[number]]
    return {"image": images}, labels


def train(out: Path) -> None:
    """Train the network and write `digit-boxes.safetensors` and `inputs.npz` (held-out canvases) to `out`."""
    data = read_data(digit_boxes_data(), "digit_boxes_data", task="detection")
    with reproducible():
        seed_everything(0)
        model = digit_boxes_model()
        learn(model, data.require_train("training"), _EPOCHS)
    leave(out, "digit-boxes", model.eval(), data.held_out.inputs)


def learn(model: DigitDetector, rows: Split, epochs: int) -> None:
    """Train the network in place on canvases with labels."""
    assert rows.labels is not None, "the data has labels"
    labels = torch.from_numpy(rows.labels).float()
    optimizer = torch.optim.AdamW(model.parameters(), _LEARNING_RATE)
    batches = [batch for _ in range(epochs) for batch in random_batches(rows, _BATCH_ROWS)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=len(batches))
    for batch in batches:
        optimizer.zero_grad()
        _loss(model(**to_tensors(rows.take(batch))), labels[torch.from_numpy(batch)]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def _loss(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of the boxes, [batch, 4 + 10, cells]: the cell that holds the centre of a labelled box,
    [batch, boxes, 5], learns it, and all others learn that they have no digit."""
    row, place = (~labels[..., 4].isnan()).nonzero(as_tuple=True)
    box = labels[row, place]
    centre, size = (box[:, :2] + box[:, 2:4]) / 2, box[:, 2:4] - box[:, :2]
    column, line = (centre / _CELL).long().unbind(dim=1)
    cell = line * (_SIDE // _CELL) + column
    truth = torch.zeros_like(output[:, 4:])
    truth[row, box[:, 4].long(), cell] = 1
    found = output[row, :4, cell]
    chances = binary_cross_entropy(output[:, 4:], truth, reduction="sum")
    return (chances + smooth_l1_loss(found, torch.cat([centre, size], dim=1), reduction="sum")) / len(output)


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("digit_boxes", "Train the detector of digits, about 20 seconds.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
