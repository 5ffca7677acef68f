"""The model and data of the recipe diabetes: a small network that predicts from ten measurements of a patient
how far the disease has progressed after a year (scikit-learn's diabetes data).

`python -m export.recipes.diabetes` trains the network."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.data.datasets import read_data
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit
from serve.bundles.meaning import Rule

Rows = tuple[dict[str, NDArray[np.float32]], NDArray[np.float64]]

_TRAINING = Training(epochs=40, batch_size=32, learning_rate=1e-3)
_ROWS = {"held_out": 150, "search": 60, "calibration": 60}


class DiabetesNet(torch.nn.Module):
    """Linear layers over ten standardised measurements; takes `patient` [batch, 10] and returns the
    progression, [batch], in the unit of the data (25 to 346)."""

    offset: torch.Tensor
    scale: torch.Tensor
    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        # Both standardisations are part of the model: clients send raw values and get usable numbers.
        self.register_buffer("offset", torch.zeros(10))
        self.register_buffer("scale", torch.ones(10))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        layers = [
            layer
            for features, width in pairwise((10, *widths))
            for layer in (torch.nn.Linear(features, width), torch.nn.ReLU())
        ]
        self.body = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))

    def forward(self, patient: torch.Tensor) -> torch.Tensor:
        """Return the progression of each row."""
        progression: torch.Tensor = self.body((patient - self.offset) / self.scale)[:, 0]
        return progression * self.spread + self.mean


def diabetes_model(widths: Sequence[int] = (256, 256, 128)) -> DiabetesNet:
    """Return the untrained network, with 101,633 parameters by default."""
    return DiabetesNet(widths)


def diabetes_data(seed: int = 0) -> dict[str, Rows]:
    """Return the four splits of 442 patients."""
    # The model does not need this import.
    from sklearn.datasets import load_diabetes

    measured, progression = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.default_rng(seed).permutation(len(measured))
    *parts, rest = np.split(order, np.cumsum(list(_ROWS.values())))
    places = {**dict(zip(_ROWS, parts, strict=True)), "train": rest}
    return {
        name: ({"patient": measured[rows].astype(np.float32)}, progression[rows])
        for name, rows in places.items()
    }


def train(out: Path) -> None:
    """Train the network and write `diabetes.safetensors` and `inputs.npz` (held-out rows) to `out`."""
    data = read_data(diabetes_data(), "diabetes_data", task="regression")
    rows = data.require_train("standardisation")
    with reproducible():
        seed_everything(0)
        model = diabetes_model()
        for name, values in (
            ("offset", rows.inputs["patient"].mean(0)),
            ("scale", rows.inputs["patient"].std(0)),
        ):
            getattr(model, name).copy_(torch.from_numpy(values))
        assert rows.labels is not None, "diabetes_data gives labels"
        model.mean.fill_(rows.labels.mean())
        model.spread.fill_(rows.labels.std())
        fit(model, data, _TRAINING, seed=0, rule=Rule(kind="numbers"))
    leave(out, "diabetes", model, data.held_out.inputs)


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("diabetes", "Train the diabetes network, about 2 seconds.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
