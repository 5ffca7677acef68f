"""The model and data of the recipe tabular: a small network on scikit-learn's breast cancer measurements,
with three named inputs.

`python -m export.recipes.tabular` trains the network."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.data.datasets import Data, read_data
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit
from serve.bundles.meaning import Rule

Rows = tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]

_TRAINING = Training(epochs=20, batch_size=64, learning_rate=1e-3)
# Ten measurements of each cell nucleus: their mean, their standard error, their worst value.
_GROUPS = ("mean", "error", "worst")


class TabularNet(torch.nn.Module):
    """Linear layers over the standardised measurements; returns two logits, malignant and benign, or another
    number of `scores`."""

    offset: torch.Tensor
    scale: torch.Tensor

    def __init__(self, widths: Sequence[int], scores: int = 2) -> None:
        super().__init__()
        # The standardisation is part of the model, so that clients send raw values.
        self.register_buffer("offset", torch.zeros(3, 10))
        self.register_buffer("scale", torch.ones(3, 10))
        self.groups = torch.nn.ModuleList(torch.nn.Linear(10, widths[0]) for _ in _GROUPS)
        self.body = torch.nn.Sequential(
            *(_layer(features, width) for features, width in pairwise(widths)),
            torch.nn.Linear(widths[-1], scores),
        )

    def forward(self, mean: torch.Tensor, error: torch.Tensor, worst: torch.Tensor) -> torch.Tensor:
        """Return the logits of each row; each input is [batch, 10]."""
        groups = zip(self.groups, (mean, error, worst), self.offset, self.scale, strict=True)
        parts = [layer((rows - offset) / scale) for layer, rows, offset, scale in groups]
        logits: torch.Tensor = self.body(torch.relu(parts[0] + parts[1] + parts[2]))
        return logits


def tabular_model(widths: Sequence[int] = (256, 256, 128)) -> TabularNet:
    """Return the untrained network, with 107,394 parameters by default."""
    return TabularNet(widths)


def tabular_data(seed: int = 0) -> dict[str, Rows]:
    """Return the four splits, stratified by class."""
    # The model does not need this import.
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    measured, labels = load_breast_cancer(return_X_y=True)
    rest = np.arange(len(labels))
    splits: dict[str, Rows] = {}
    for name, rows in (("held_out", 170), ("search", 80), ("calibration", 80)):
        rest, taken = train_test_split(rest, test_size=rows, stratify=labels[rest], random_state=seed)
        splits[name] = _read_rows(measured, labels, taken)
    splits["train"] = _read_rows(measured, labels, rest)
    return splits


def train(out: Path) -> None:
    """Train the network and write `tabular.safetensors` and `inputs.npz` (held-out rows) to `out`."""
    data = read_data(tabular_data(), "tabular_data")
    with reproducible():
        seed_everything(0)
        model = fit_standardised(tabular_model(), data, Rule(kind="classes"))
    leave(out, "tabular", model, data.held_out.inputs)


def fit_standardised(model: TabularNet, data: Data, rule: Rule) -> TabularNet:
    """Train the network on the labels, after it has got the mean and the deviation of the measurements."""
    train_rows = data.require_train("standardisation").inputs
    measured = np.stack([train_rows[group] for group in _GROUPS], axis=1)
    model.offset.copy_(torch.from_numpy(measured.mean(0)))
    model.scale.copy_(torch.from_numpy(measured.std(0)))
    fit(model, data, _TRAINING, seed=0, rule=rule)
    return model


def _layer(features: int, width: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(features, width), torch.nn.ReLU())


def _read_rows(measured: NDArray[np.float64], labels: NDArray[np.int64], rows: NDArray[np.int64]) -> Rows:
    parts = np.split(measured[rows].astype(np.float32), len(_GROUPS), axis=1)
    return dict(zip(_GROUPS, parts, strict=True)), labels[rows]


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("tabular", "Train the tabular network, about 2 seconds.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
