"""A score measures answers by what they mean."""

from typing import Any

import numpy as np
import pytest
import torch

from export.data.datasets import Split, read_data
from export.training.scores import distance, likeness, likeness_to, read_teacher
from serve.bundles.meaning import Meaning, Task

RANDOM = np.random.default_rng(0)


def split_of(rows: int = 60) -> Split:
    """Rows of four numbers."""
    parts = {
        name: ({"x": np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)}, None)
        for seed, name in enumerate(("search", "calibration", "held_out"))
    }
    return read_data(parts, "make").search


SPLIT = split_of()


class Scaled(torch.nn.Module):
    """Sums of a row, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One number a row."""
        return self._factor * x.sum(1, keepdim=True)


def test_one_number_is_scored_by_how_near_it_is() -> None:
    """The score of numbers is 1 for equal ones, 0 for zeros, and negative for worse ones."""
    answers = SPLIT.inputs["x"].sum(1, keepdims=True).astype(np.float32)
    score = likeness_to("classification", answers, SPLIT)
    assert score(Scaled(1)) == pytest.approx(1)
    assert score(Scaled(0.9)) == pytest.approx(0.99, abs=0.002)
    assert score(Scaled(0)) == pytest.approx(0, abs=0.1)
    assert score(Scaled(-1)) < -2


@pytest.mark.parametrize(
    ("task", "wanted", "came", "alike", "apart"),
    [
        ("classification", np.eye(3), np.eye(3)[[0, 1, 1]], 2 / 3, None),
        ("embedding", np.eye(3), np.eye(3)[[0, 1, 1]], 2 / 3, 1 / 3),
        ("classification", [[0.0], [2.0]], [[0.0], [3.0]], 1 / 2, 1 / 2),
    ],
    ids=["classes", "embeddings", "numbers"],
)
def test_likeness_and_distance_by_hand(
    task: Task, wanted: Any, came: Any, alike: float, apart: float | None
) -> None:
    """The likeness is that of top classes, cosines or near numbers, as computed by hand."""
    wanted, came = (np.array(each, np.float32) for each in (wanted, came))
    rows = Split(inputs={}, labels=None, lengths=None, row_hashes=("a",) * len(wanted))
    meaning = read_teacher(task, wanted, rows)
    assert likeness(task, meaning, wanted, came, rows) == pytest.approx(alike)
    if apart is not None:
        assert distance(task, meaning, wanted, came, rows) == pytest.approx(apart)


def test_the_distance_of_channels_is_relative_to_their_spread() -> None:
    """An error of half its spread in each channel of [rows, channels, positions] is a quarter."""
    meaning = Meaning(kind="numbers", form="plain", spread=(1.0, 300.0), spread_axis=1)
    wanted = RANDOM.normal(size=(20, 2, 6)).astype(np.float32)
    came = wanted + np.array([[0.5], [150]], np.float32)
    rows = Split(inputs={}, labels=None, lengths=None, row_hashes=("a",) * 20)
    assert distance("regression", meaning, wanted, came, rows) == pytest.approx(1 / 4, rel=1e-5)


def test_padding_is_no_answer() -> None:
    """Values at padding tokens do not affect the score."""
    wanted = RANDOM.normal(size=(20, 6, 3)).astype(np.float32)
    came = wanted.copy()
    lengths = RANDOM.integers(1, 6, 20)
    padding = np.arange(6) >= lengths[:, None]
    came[padding] = -came[padding]
    rows = Split(inputs={}, labels=None, lengths=lengths, row_hashes=("a",) * 20)
    meaning = read_teacher("token_classification", wanted, rows)
    assert likeness("token_classification", meaning, wanted, came, rows) == 1
    assert distance("token_classification", meaning, wanted, came, rows) == pytest.approx(0, abs=1e-9)
