"""The model and data of the recipe sequence: an LSTM that detects which of six motifs is in a noisy series of
three channels.

`python -m export.recipes.sequence` trains the network."""

import sys
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

_TRAINING = Training(epochs=15, batch_size=64, learning_rate=3e-3)

STEPS = 32
FEATURES = 3
MOTIFS = 6
_MOTIF_STEPS = 8
_ROWS = {"train": 2400, "calibration": 256, "search": 512, "held_out": 1024}


class SequenceNet(torch.nn.Module):
    """An LSTM and a linear layer over its last state; takes `series` [batch, 32, 3] and returns six
    logits."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(FEATURES, hidden, batch_first=True)
        self.head = torch.nn.Linear(hidden, MOTIFS)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        """Return the six logits of each row."""
        states, _ = self.lstm(series)
        logits: torch.Tensor = self.head(states[:, -1])
        return logits


def sequence_model(hidden: int = 192) -> SequenceNet:
    """Return the untrained network, with 152,454 parameters by default."""
    return SequenceNet(hidden)


def sequence_data(seed: int = 0) -> dict[str, Rows]:
    """Return the four splits: each series contains one motif at a random place and strength, with noise."""
    generator = np.random.default_rng(seed)
    motifs = np.cumsum(generator.normal(size=(MOTIFS, _MOTIF_STEPS, FEATURES)), axis=1)
    motifs = (motifs - motifs.mean(1, keepdims=True)) / motifs.std(1, keepdims=True)
    return {name: _make_rows(generator, motifs, rows) for name, rows in _ROWS.items()}


def train(out: Path) -> None:
    """Train the network and write `sequence.safetensors` and `inputs.npz` (held-out series) to `out`."""
    data = read_data(sequence_data(), "sequence_data")
    with reproducible():
        seed_everything(0)
        model = fit(sequence_model(), data, _TRAINING, seed=0)
    leave(out, "sequence", model, data.held_out.inputs)


def _make_rows(generator: np.random.Generator, motifs: NDArray[np.float64], rows: int) -> Rows:
    labels = np.arange(rows) % MOTIFS
    series = generator.normal(scale=0.5, size=(rows, STEPS, FEATURES))
    starts = generator.integers(0, STEPS - _MOTIF_STEPS + 1, size=rows)
    strengths = generator.uniform(0.6, 1.4, size=rows)
    for row, (start, label) in enumerate(zip(starts, labels, strict=True)):
        series[row, start : start + _MOTIF_STEPS] += strengths[row] * motifs[label]
    return {"series": series.astype(np.float32)}, labels.astype(np.int64)


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("sequence", "Train the sequence network, about 1 minute.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
