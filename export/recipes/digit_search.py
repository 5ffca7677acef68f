"""The model and data of the recipe digit-search: a small network that ranks ten scans of handwritten digits
by how likely each shows the digit of another scan.

`python -m export.recipes.digit_search` trains it."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.data.datasets import Split, read_data
from export.forward import to_tensors
from export.recipes.digits import digits_data
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.training.batches import random_batches

Rows = tuple[dict[str, NDArray[np.float32]], NDArray[np.float64]]

_QUERIES = {"held_out": 500, "search": 200, "calibration": 200, "train": 3000}
_SCANS, _MOST_FOUND = 10, 4
_PIXELS, _FEATURES = 64, 32
_EPOCHS, _BATCH_ROWS, _LEARNING_RATE = 6, 50, 2e-3


class DigitSearchNet(torch.nn.Module):
    """Linear layers that turn a scan into features; takes `query` [batch, 64] and `scans` [batch, 10, 64] and
    returns the product of the query's features with those of each scan, [batch, 10]."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers = [
            layer
            for size, width in pairwise((_PIXELS, *widths))
            for layer in (torch.nn.Linear(size, width), torch.nn.ReLU())
        ]
        self.body = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], _FEATURES))

    def forward(self, query: torch.Tensor, scans: torch.Tensor) -> torch.Tensor:
        """Return the score of each scan."""
        features = self.body(torch.cat([query.unsqueeze(1), scans], dim=1))
        scores: torch.Tensor = torch.matmul(features[:, 1:], features[:, 0].unsqueeze(-1)).squeeze(-1)
        return scores


def digit_search_model(widths: Sequence[int] = (256, 256)) -> DigitSearchNet:
    """Return the untrained network, with 90,656 parameters by default."""
    return DigitSearchNet(widths)


def digit_search_data(seed: int = 0) -> dict[str, Rows]:
    """Return the four splits; the relevance of a scan is 1 if it shows the digit of the query, else 0.

    The scans of a split are those of the recipe `digits`, so no scan is in two splits."""
    random = np.random.default_rng(seed)
    return {
        name: _make_queries(inputs["image"].reshape(-1, _PIXELS), labels, _QUERIES[name], random)
        for name, (inputs, labels) in digits_data(seed).items()
    }


def _make_queries(
    scans: NDArray[np.float32], digits: NDArray[np.int64], count: int, random: np.random.Generator
) -> Rows:
    queries = random.integers(len(scans), size=count)
    found = np.empty((count, _SCANS), np.int64)
    for row, query in enumerate(queries):
        same = digits == digits[query]
        same[query] = False
        alike = random.choice(np.flatnonzero(same), random.integers(1, _MOST_FOUND + 1), replace=False)
        others = random.choice(np.flatnonzero(digits != digits[query]), _SCANS - len(alike), replace=False)
        found[row] = random.permutation(np.concatenate([alike, others]))
    relevance = (digits[found] == digits[queries, None]).astype(np.float64)
    return {"query": scans[queries], "scans": scans[found]}, relevance


def train(out: Path) -> None:
    """Train the network and write `digit-search.safetensors` and `inputs.npz` (held-out queries) to `out`."""
    data = read_data(digit_search_data(), "digit_search_data", task="ranking")
    with reproducible():
        seed_everything(0)
        model = digit_search_model()
        learn(model, data.require_train("training"), _EPOCHS)
    leave(out, "digit-search", model.eval(), data.held_out.inputs)


def learn(model: DigitSearchNet, rows: Split, epochs: int) -> None:
    """Train the network in place on queries with labels: the softmax of the scores learns the share of each
    relevant scan (ListNet)."""
    assert rows.labels is not None, "the data has labels"
    shares = torch.from_numpy(rows.labels / rows.labels.sum(axis=1, keepdims=True)).float()
    optimizer = torch.optim.AdamW(model.parameters(), _LEARNING_RATE)
    for _ in range(epochs):
        for batch in random_batches(rows, _BATCH_ROWS):
            optimizer.zero_grad()
            scores = model(**to_tensors(rows.take(batch)))
            loss = torch.nn.functional.cross_entropy(scores, shares[torch.from_numpy(batch)])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("digit_search", "Train the ranker of scans, about 5 seconds.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
