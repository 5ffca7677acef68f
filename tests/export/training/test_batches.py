"""Batches hold every row once, in nearly equal numbers, and rows of nearly equal length."""

import numpy as np
import pytest
import torch

from export.data.datasets import Split
from export.training.batches import ordered_batches, random_batches


def make_split(rows: int, lengths: bool = False) -> Split:
    """Rows of one number each, or of as many tokens as drawn."""
    hashes = tuple(map(str, range(rows)))
    if not lengths:
        return Split(inputs={"x": np.zeros((rows, 1))}, labels=None, lengths=None, row_hashes=hashes)
    drawn = np.random.default_rng(0).integers(1, 100, rows)
    mask = (np.arange(drawn.max()) < drawn[:, None]).astype(np.int64)
    return Split(inputs={"attention_mask": mask}, labels=None, lengths=drawn, row_hashes=hashes)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(("rows", "batch_size"), [(5, 2), (65, 64), (1000, 3), (999, 64)])
def test_every_row_is_in_one_batch(rows: int, batch_size: int, lengths: bool) -> None:
    """Each row is in one batch; each batch has at least two rows and at most one more than its size."""
    batches = random_batches(make_split(rows, lengths), batch_size)
    assert sorted(np.concatenate(batches)) == list(range(rows))
    assert min(map(len, batches)) >= 2
    assert max(map(len, batches)) <= batch_size + 1


def test_rows_of_a_batch_have_similar_lengths() -> None:
    """A batch of 10 random rows spans fewer than 5 of 99 lengths."""
    split = make_split(1000, lengths=True)
    assert split.lengths is not None
    spans = [np.ptp(split.lengths[rows]) for rows in random_batches(split, 10)]
    assert np.mean(spans) < 5


def test_batches_come_in_a_random_order() -> None:
    """The mean length of batches does not depend on their order."""
    split = make_split(1000, lengths=True)
    assert split.lengths is not None
    torch.manual_seed(0)
    means = [split.lengths[rows].mean() for rows in random_batches(split, 10)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_answers_take_short_rows_first() -> None:
    """The batches for answers have each row once, sorted by length."""
    split = make_split(1000, lengths=True)
    assert split.lengths is not None
    order = np.concatenate(ordered_batches(split))
    assert sorted(order) == list(range(1000))
    assert (np.diff(split.lengths[order]) >= 0).all()
