"""Multiply-adds equal those computed by hand."""

import numpy as np
import pytest
import torch

from export.data.datasets import Split
from export.pruning.multiply_adds import count_multiply_adds


def split(shape: tuple[int, ...]) -> Split:
    rows = np.zeros((3, *shape), np.float32)
    return Split(inputs={"x": rows}, labels=None, lengths=None, row_hashes=("a", "b", "c"))


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (torch.nn.Linear(8, 6), (8,), 8 * 6),
        (torch.nn.Conv2d(3, 4, 3, padding=1), (3, 8, 8), 3 * 4 * 9 * 64),
        (torch.nn.Conv2d(4, 4, 3, padding=1, groups=4), (4, 8, 8), 4 * 9 * 64),
        # An LSTM has four gates and a GRU three; each gate reads the input and the state.
        (torch.nn.LSTM(8, 6, batch_first=True), (5, 8), 5 * 4 * 6 * (8 + 6)),
        (torch.nn.LSTM(8, 6, bidirectional=True, batch_first=True), (5, 8), 2 * 5 * 4 * 6 * (8 + 6)),
        (torch.nn.GRU(8, 6, batch_first=True), (5, 8), 5 * 3 * 6 * (8 + 6)),
        # The layer has four projections, the scores and their sums, and two feed-forward layers.
        (
            torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            (5, 8),
            5 * 8 * 8 * 4 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16,
        ),
    ],
)
def test_counts_one_row(module: torch.nn.Module, shape: tuple[int, ...], expected: int) -> None:
    """The multiply-adds of one row are those computed by hand, also in torch's fused kernels."""

    class First(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output = self.inner(x)
            return output[0] if isinstance(output, tuple) else output  # type: ignore[no-any-return]

    assert count_multiply_adds(First().eval(), split(shape)) == expected


def test_counts_the_longest_row() -> None:
    """The multiply-adds are those of the longest row, without padding."""
    rows = Split(
        inputs={"ids": np.zeros((2, 6), np.int64), "attention_mask": np.tri(2, 6, 3, dtype=np.int64)},
        labels=None,
        lengths=np.array([3, 4]),
        row_hashes=("a", "b"),
    )

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(9, 8)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(ids)) * attention_mask[..., None]  # type: ignore[no-any-return]

    assert count_multiply_adds(Reader(), rows) == 4 * 8 * 2
