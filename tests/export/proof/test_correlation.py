"""Correlation with the baseline is measured independently of the scale."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr

from export.proof.correlation import correlate
from serve.bundles.meaning import Meaning

RANDOM = np.random.default_rng(0)
BEFORE = (RANDOM.normal(size=(60, 3)) + np.array([9, 0, 0])).astype(np.float32)
CLASSES = Meaning(kind="classes", form="plain")


def value(variant: Any, baseline: Any = BEFORE, meaning: Meaning = CLASSES) -> float:
    """Return the correlation of two answers."""
    found = correlate(meaning, baseline, variant)
    assert found is not None
    return found.value


def test_it_is_pearson_s_with_fisher_s_interval() -> None:
    """For one column, the correlation and its interval equal scipy's."""
    after = BEFORE[:, :1] + RANDOM.normal(size=(60, 1)).astype(np.float32)
    found = correlate(CLASSES, BEFORE[:, :1], after)
    expected = pearsonr(BEFORE[:, 0].astype(float), after[:, 0].astype(float))
    assert found is not None
    assert found.value == pytest.approx(expected.statistic, abs=1e-6)
    assert [found.low, found.high] == pytest.approx(list(expected.confidence_interval(0.95)), abs=1e-6)


@pytest.mark.parametrize(
    ("ruined", "expected"),
    [
        (np.repeat(BEFORE[:1], 60, axis=0), 0),
        (BEFORE[::-1].copy(), 0),
        (2 * BEFORE.mean(axis=0) - BEFORE, -1),
        (3 * BEFORE - 5, 1),
    ],
    ids=["constant", "other rows'", "mirrored", "sharper"],
)
def test_scale_does_not_matter(ruined: Any, expected: float) -> None:
    """The correlation does not depend on the scale of the scores."""
    assert value(ruined) == pytest.approx(expected, abs=0.2)


def test_a_baseline_that_never_varies_has_none() -> None:
    """A baseline that varies only by rounding has no correlation."""
    flat = np.full((60, 3), [9, 0, 0], np.float32) * (1 + 1e-7 * RANDOM.normal(size=(60, 3)))
    assert correlate(CLASSES, flat.astype(np.float32), BEFORE) is None


def test_small_shares_count_as_well() -> None:
    """Shares are correlated as logarithms, so that one unsure row does not outweigh the others."""
    logits = BEFORE.copy()
    logits[0] = [2, 1, 0]
    other = logits.copy()
    other[0] = [9, 1, 0]
    shares, variant = (np.exp(each) / np.exp(each).sum(-1, keepdims=True) for each in (logits, other))
    assert value(variant, shares, Meaning(kind="classes", form="plain")) < 0.2
    assert value(variant, shares, Meaning(kind="classes", form="shares")) > 0.8


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_each_place_counts_on_its_own_scale(kind: Any) -> None:
    """Each column is scaled, so ruined columns show beside one that is a million times as large."""
    baseline = BEFORE * [1e6, 1, 1]
    variant = baseline.copy()
    variant[:, 1:] = variant[::-1, 1:]
    assert value(variant, baseline, Meaning(kind=kind, form="plain")) < 0.6


def test_a_place_that_never_varies_counts_for_nothing() -> None:
    """A column that is constant in the baseline is ignored."""
    baseline = np.concatenate([np.full((60, 1), 1e4), BEFORE], axis=1)
    variant = baseline + np.eye(1, 4) * RANDOM.normal(size=(60, 1)) * 100
    assert value(variant, baseline) == pytest.approx(1)


def test_padding_counts_for_nothing() -> None:
    """Missing tokens, NaN in both answers, do not affect the correlation."""
    baseline = RANDOM.normal(size=(60, 4, 3))
    baseline[:30, 2:] = np.nan
    assert value(baseline + 1, baseline) == pytest.approx(1)


def test_strings_are_followed_row_by_row() -> None:
    """Equal strings correlate by 1, and one string for all rows by 0."""
    names = np.where(np.arange(60) % 20 == 0, "alarm", "calm").astype("S")
    exact = Meaning(kind="exact")
    assert value(names.copy(), names, exact) == pytest.approx(1)
    assert value(np.full(60, "calm", "S"), names, exact) == 0
