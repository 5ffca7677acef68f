"""Computes F1, accuracy and AUC of sets of labels (a binary model has a set of one), and their change from
the baseline to the variant."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from export.data.labels import IGNORE, Classes
from export.proof.bootstrap import Floats, Interval, resample
from export.proof.by_label.score_order import ScoreOrder, rank
from serve.bundles.figures import Compared

Bools = NDArray[np.bool_]
# The baseline's scores of rows that were not observed: two with the label, and two without it.
_ENDS = np.array([np.inf, -np.inf, -np.inf, np.inf])


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """The labels of all rows and the scores of both variants, each [rows, labels]."""

    # Whether the label is counted, and whether it holds.
    counted: Bools
    true: Bools
    # An answer that is no number counts as wrong.
    baseline: Floats
    variant: Floats
    # A label is answered if its score is above it.
    threshold: float

    def answered(self, scores: Floats) -> Bools:
        """Which labels are answered."""
        wrong = np.isnan(scores)
        return np.asarray(np.where(wrong, ~self.true, scores > self.threshold) & self.counted)


def compare_label_sets(
    labels: Classes, baseline: Floats, variant: Floats, threshold: float, seed: int
) -> dict[str, Compared | None]:
    """Compare the variant's labels with the baseline's.

    F1 and AUC leave out labels that no row (for AUC: every row) has. Bootstrap draws include rows that were
    not seen: for each label, one that only the baseline gets right, and one that only the variant does.

    Args:
        labels: 1 where a label holds, 0 where it does not, -100 where it does not count, [rows] or
            [rows, labels]
        baseline: the baseline's scores, [rows] or [rows, labels]; NaN does not count
        variant: the variant's scores
        threshold: a label is answered if its score is above this
        seed: seed of the bootstrap

    Returns:
        The figures of the variant by name, with their change and its interval: accuracy, f1 and auc for one
        label, or micro_f1, macro_f1 and auc. None: the labels do not give the figure.
    """
    wanted = labels.reshape(len(labels), -1)
    before, after = (each.reshape(len(labels), -1) for each in (baseline, variant))
    counted = (wanted != IGNORE) & ~np.isnan(before)
    scores = LabelScores(
        counted=counted,
        true=(wanted == 1) & counted,
        baseline=before,
        variant=after,
        threshold=threshold,
    )
    return _compare_counts(scores, seed) | {"auc": _compare_auc(scores, seed)}


def _compare_counts(scores: LabelScores, seed: int) -> dict[str, Compared | None]:
    single = scores.true.shape[1] == 1
    names = ("accuracy", "f1") if single else ("micro_f1", "macro_f1")
    before, after = _tabulate(scores, scores.baseline), _tabulate(scores, scores.variant)
    unseen = _unseen(scores)
    table = np.concatenate([np.concatenate([before, after], axis=1), *unseen])
    first, second = _figures(table[: len(before)].sum(axis=0)[None], single)
    known = np.flatnonzero(np.isfinite(second[0]))
    found: dict[str, Compared | None] = dict.fromkeys(names)
    if not len(known):
        return found
    drawn = resample(
        csr_array(table),
        lambda sums: np.subtract(*_figures(sums, single)[::-1])[:, known],
        seed,
        unseen=len(unseen),
        # Two rows are expected in a draw.
        weight=2 / max(1, len(unseen)),
    )
    for place, interval in zip(known, drawn, strict=True):
        found[names[place]] = _compared(first[0, place], second[0, place], interval)
    return found


def _tabulate(scores: LabelScores, answers: Floats) -> Floats:
    """Count per row and label, [rows, 5 * labels]: labels that are right, answered, true, counted and judged
    rightly."""
    answered = scores.answered(answers)
    parts = (
        answered & scores.true,
        answered,
        scores.true,
        scores.counted,
        (answered == scores.true) & scores.counted,
    )
    return np.concatenate(parts, axis=1).astype(np.float64)


def _unseen(scores: LabelScores) -> list[Floats]:
    """Rows that only one variant gets right, for each label with a row that has it; for a single label also
    rows without it."""
    rows = []
    width = scores.true.shape[1]
    for label in np.flatnonzero(scores.true.any(axis=0)):
        rows += [(label, True), (label, False)][: 2 if width == 1 else 1]
    found = []
    for label, holds in rows:
        true, counted = np.zeros((1, width), np.bool_), np.zeros((1, width), np.bool_)
        counted[0, label], true[0, label] = True, holds
        # The other variant answers another label instead.
        other = (label + 1) % width
        counted[0, other] = True
        right, wrong = np.where(true, 1.0, -1.0), np.where(true, -1.0, -1.0)
        wrong[0, other] = 1.0 if width > 1 or not holds else -1.0
        for one, two in ((right, wrong), (wrong, right)):
            made = LabelScores(counted=counted, true=true, baseline=one, variant=two, threshold=0)
            found.append(np.concatenate([_tabulate(made, one), _tabulate(made, two)], axis=1))
    return found


def _figures(sums: Floats, single: bool) -> tuple[Floats, Floats]:
    """Return the two figures, [draws, 2], of the baseline and of the variant; NaN: there is none."""
    sides = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for side in np.split(sums, 2, axis=1):
            right, answered, true, counted, judged = np.split(side, 5, axis=1)
            each = np.where(true > 0, 2 * right / (answered + true), np.nan)
            if single:
                sides.append(np.column_stack([judged / counted, each]))
                continue
            known = ~np.isnan(each)
            macro = np.where(known, each, 0).sum(axis=1) / known.sum(axis=1)
            micro = np.where(
                true.sum(axis=1) > 0,
                2 * right.sum(axis=1) / (answered.sum(axis=1) + true.sum(axis=1)),
                np.nan,
            )
            sides.append(np.column_stack([micro, macro]))
    return sides[0], sides[1]


def _compare_auc(scores: LabelScores, seed: int) -> Compared | None:
    """The mean over the labels that some rows have and others do not."""
    both = [
        label
        for label in range(scores.true.shape[1])
        if 0 < scores.true[:, label].sum() < scores.counted[:, label].sum()
    ]
    if not both:
        return None
    rows, extra = len(scores.true), len(_ENDS) * len(both)
    counts_of, rankings = [], []
    for place, label in enumerate(both):
        counts = np.zeros(rows + extra, np.bool_)
        counts[:rows] = scores.counted[:, label]
        counts[rows + len(_ENDS) * place :][: len(_ENDS)] = True
        counts_of.append(counts)
        rankings.append(_rank_both(scores, label))

    def measure(weights: Floats) -> Floats:
        pairs = zip(counts_of, rankings, strict=True)
        sides = zip(*[[each.auc(weights[:, counts]) for each in both] for counts, both in pairs], strict=True)
        # A draw may lack rows with a label, and with it that label's part of the mean.
        return np.column_stack([_mean(np.array(side)) for side in sides])

    seen = np.concatenate([np.ones(rows), np.zeros(extra)])
    before, after = measure(seen[None])[0]
    drawn = resample(
        eye_array(len(seen), format="csr"),
        lambda weights: np.diff(measure(weights), axis=1),
        seed,
        unseen=extra,
        weight=2 / extra,
    )
    return _compared(before, after, drawn[0])


def _rank_both(scores: LabelScores, label: int) -> tuple[ScoreOrder, ScoreOrder]:
    """Rank the rows that have the label or not by both variants' scores, and four unseen rows after them: of
    each pair, the baseline gets the first right, and the variant the second."""
    counted = scores.counted[:, label]
    true = np.concatenate([scores.true[counted, label], [True, True, False, False]])
    before, after = (
        rank(np.concatenate([_no_nan(answers[counted, label], scores.true[counted, label]), ends]), true)
        for answers, ends in ((scores.baseline, _ENDS), (scores.variant, -_ENDS))
    )
    return before, after


def _mean(labels: Floats) -> Floats:
    """The mean over labels, [labels, draws], of those that have a value; NaN if none has."""
    known = np.isfinite(labels)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, labels, 0).sum(axis=0) / known.sum(axis=0))


def _no_nan(answers: Floats, true: Any) -> Floats:
    """An answer that is no number ranks where it is most wrong."""
    return np.asarray(np.where(np.isnan(answers), np.where(true, -np.inf, np.inf), answers))


def _compared(before: float, after: float, interval: Interval) -> Compared:
    change = float(after - before)
    return Compared(
        value=float(after), change=change, low=min(interval[0], change), high=max(interval[1], change)
    )
