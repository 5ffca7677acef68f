"""Computes the errors of a regression against its labels (MAE, RMSE and R2), and their change from the
baseline to the variant."""

import numpy as np

from export.proof.bootstrap import Floats, resample
from serve.bundles.figures import Compared

# Outputs with more columns, or with more dimensions, have one figure over all of their numbers.
_MOST_COLUMNS = 64
# The error of an answer that is no number; its square can be added.
_LARGEST = 1e100
_NAMES = ("mae", "rmse", "r2")
_SUMS = 7
# A variance below this share of the mean square is rounding.
_ROUNDING = 1e-12


def compare_errors(
    labels: Floats, baseline: Floats, variant: Floats, seed: int
) -> dict[str, Compared | None]:
    """Compare the variant's errors with the baseline's.

    Each figure is the mean over the columns of [rows, columns], as in scikit-learn; R2 leaves out columns
    with the same label in every row.

    Args:
        labels: the right numbers, [rows, ...]; NaN does not count
        baseline: the baseline's answers, of the same number of numbers; NaN does not count
        variant: the variant's answers
        seed: seed of the bootstrap

    Returns:
        The figures of the variant by name, with their change and its interval; R2 is None if no column has
        different labels.
    """
    table = _tabulate(labels, baseline, variant)
    before, after = _figures(table.sum(axis=0)[None])
    known = np.isfinite(after[0])
    intervals = resample(table, lambda sums: np.subtract(*_figures(sums)[::-1])[:, known], seed)
    found: dict[str, Compared | None] = dict.fromkeys(_NAMES)
    for place, (low, high) in zip(np.flatnonzero(known), intervals, strict=True):
        change = float(after[0, place] - before[0, place])
        found[_NAMES[place]] = Compared(
            value=float(after[0, place]), change=change, low=min(low, change), high=max(high, change)
        )
    return found


def is_constant(labels: Floats) -> bool:
    """Whether no column of the labels has two different numbers, so that there is no R2."""
    columns = _columns(labels)
    return all(
        len(np.unique(column[~np.isnan(column)])) < 2 for column in columns.reshape(-1, columns.shape[-1]).T
    )


def _columns(numbers: Floats) -> Floats:
    """The numbers as [rows, items, columns]."""
    several = numbers.ndim == 2 and numbers.shape[1] <= _MOST_COLUMNS
    return numbers.reshape(len(numbers), -1, numbers.shape[1] if several else 1)


def _tabulate(labels: Floats, baseline: Floats, variant: Floats) -> Floats:
    """Return sums for each row and column, [rows, 7 * columns]: how many numbers count, both variants'
    errors, their squared errors, the labels, and the squares of these."""
    right, *answers = (_columns(each.reshape(labels.shape)) for each in (labels, baseline, variant))
    counts = ~np.isnan(right) & ~np.isnan(answers[0])
    with np.errstate(invalid="ignore"):
        errors = [np.nan_to_num(np.abs(each - right), nan=_LARGEST, posinf=_LARGEST) for each in answers]
    # Numbers far from 0 would lose their variance in the sum of their squares.
    centred = right - np.nanmean(right)
    values = [np.ones_like(right), *errors, *map(np.square, errors), centred, np.square(centred)]
    return np.concatenate([np.where(counts, each, 0).sum(axis=1) for each in values], axis=1)


def _figures(sums: Floats) -> tuple[Floats, Floats]:
    """Return MAE, RMSE and R2, [draws, 3], of the baseline and of the variant, from sums of the table. A
    figure without a value is NaN."""
    counts, *errors, labels, squares = np.split(sums, _SUMS, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares / counts - np.square(labels / counts)
        # The squares of equal labels differ from each other by rounding.
        variance[variance <= _ROUNDING * squares / counts] = np.nan
        sides = []
        for absolute, squared in ((errors[0], errors[2]), (errors[1], errors[3])):
            mean = squared / counts
            each = (absolute / counts, np.sqrt(mean), 1 - mean / variance)
            sides.append(np.column_stack([_mean(figure) for figure in each]))
    return sides[0], sides[1]


def _mean(columns: Floats) -> Floats:
    """The mean over the columns that have a value, [draws]."""
    known = np.isfinite(columns)
    return np.asarray(np.where(known, columns, 0).sum(axis=1) / known.sum(axis=1))
