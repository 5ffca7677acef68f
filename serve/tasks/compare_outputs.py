"""Measure how far a variant's outputs are from the baseline's, row by row. Pure.

The export's floor, the score of a training and the shadow of a rollout all use this comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning, Task
from serve.counting.comparison import Clusters, Comparison, Moments
from serve.tasks.answer_form import breaks_form, classes_last, read_meaning
from serve.tasks.closeness import (
    LEAST_SHARE,
    are_apart,
    are_close,
    centred,
    cosine_of,
    divergence,
)
from serve.tasks.compare_boxes import differ_in_boxes
from serve.tasks.criterion import ALIKE
from serve.tasks.rank_order import differ_in_order

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """The differences of one output on the same rows, or the worst of several outputs. Shapes are [rows], or
    [rows, items] if a row has several classes, one per token."""

    differ: Bools
    # [rows].
    largest: Floats
    # Which items the baseline has answered; None: all.
    counted: Bools | None = None
    # [rows]; None: this kind of output has no cosine.
    cosine: Floats | None = None
    # KL divergence of the candidate's distribution from the baseline's, in nats; the shape of `differ`.
    kl: Floats | None = None

    def part(self, rows: slice) -> "Differences":
        """A slice of the rows."""
        return Differences(
            differ=self.differ[rows],
            largest=self.largest[rows],
            counted=None if self.counted is None else self.counted[rows],
            cosine=None if self.cosine is None else self.cosine[rows],
            kl=None if self.kl is None else self.kl[rows],
        )

    @property
    def pairs(self) -> NDArray[np.int64]:
        """The number of pairs of answers in each row, [rows]."""
        return _count(np.ones_like(self.differ) if self.counted is None else self.counted)

    @property
    def differing(self) -> NDArray[np.int64]:
        """The number of pairs that differ in each row, [rows]."""
        return _count(self.differ if self.counted is None else self.differ & self.counted)

    def places(self, row: int) -> Bools | None:
        """Which items of a row differ, [items]; None if a row is one item."""
        if self.differ.ndim == 1:
            return None
        counted = True if self.counted is None else self.counted[row]
        return np.asarray(self.differ[row] & counted)

    def sums(self, sizes: Sequence[int]) -> Comparison:
        """The sums over all rows. `sizes` has the number of rows of each request, in order."""
        rows = np.asarray(sizes)
        starts = np.cumsum(rows) - rows
        differ = np.add.reduceat(self.differing, starts)
        pairs = np.add.reduceat(self.pairs, starts)
        return Comparison(
            pairs=int(pairs.sum()),
            disagreements=int(differ.sum()),
            clusters=Clusters(
                requests=len(rows),
                differing=int((differ > 0).sum()),
                differ_squares=int(differ @ differ),
                products=int(differ @ pairs),
                squares=int(pairs @ pairs),
            ),
            cosine=_moments(self.cosine, starts, rows),
            kl=_moments(self.row_kl, starts, rows),
            largest_difference=float(self.largest.max(initial=0.0)),
        )

    @property
    def row_kl(self) -> Floats | None:
        """The mean KL divergence of each row, [rows]."""
        if self.kl is None or self.kl.ndim == 1:
            return self.kl
        kept = np.ones_like(self.differ) if self.counted is None else self.counted
        return np.asarray((self.kl * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1))


def compare(
    task: Task,
    baseline: NDArray[np.generic],
    candidate: NDArray[np.generic],
    meaning: Meaning | None = None,
) -> Differences:
    """Compare one output, [rows, ...] of each. Without a meaning, it is read from these rows of the baseline.

    Scores of classes differ if the top class is another one and, if the recipe does not say that they are
    scores of classes, also if their numbers are far apart. Embeddings differ if their cosine is low, numbers
    if they are not close, detections if they do not match, ranks if their order changes, and anything else if
    it is not equal. Most of them differ if the form has changed, such as shares that no longer sum to one.
    Numbers that are NaN in the baseline are ignored."""
    # A candidate may answer with NaN; this differs, and needs no warning from numpy.
    with np.errstate(all="ignore"):
        return _compare(meaning or read_meaning(task, baseline), baseline, candidate)


def worst(outputs: Sequence[Differences]) -> Differences:
    """Combine all outputs of a model: a row differs if it differs in any output. If the outputs have
    different numbers of pairs per row, each row counts as one pair."""
    if len(outputs) == 1:
        return outputs[0]
    widths = {each.differ.shape[1] for each in outputs if each.differ.ndim > 1}
    if len(widths) == 1:
        differ = np.logical_or.reduce([_spread_out(each.differ, *widths) for each in outputs])
        counted = [_spread_out(each.counted, *widths) for each in outputs if each.counted is not None]
    else:
        differ, counted = np.logical_or.reduce([each.differing > 0 for each in outputs]), []
    cosines = [each.cosine for each in outputs if each.cosine is not None]
    divergences = [each.row_kl for each in outputs if each.row_kl is not None]
    return Differences(
        differ=differ,
        largest=np.maximum.reduce([each.largest for each in outputs]),
        counted=np.logical_and.reduce(counted) if counted else None,
        cosine=np.minimum.reduce(cosines) if cosines else None,
        kl=np.maximum.reduce(divergences) if divergences else None,
    )


def _count(items: Bools) -> NDArray[np.int64]:
    return np.asarray(items.reshape(len(items), -1).sum(axis=1), np.int64)


def _spread_out(rows: Bools, width: int) -> Bools:
    return np.broadcast_to(rows.reshape(len(rows), -1), (len(rows), width))


def _compare(meaning: Meaning, baseline: NDArray[np.generic], candidate: NDArray[np.generic]) -> Differences:
    rows = len(baseline)
    alike = (baseline.shape, baseline.dtype.kind) == (candidate.shape, candidate.dtype.kind)
    if meaning.kind == "boxes":
        largest = _largest(baseline, candidate, rows) if alike else np.zeros(rows)
        # The numbers of boxes may be a million, so not all are converted.
        return Differences(differ=differ_in_boxes(meaning, baseline, candidate), largest=largest)
    baseline = classes_last(meaning, baseline)
    if not alike:
        items = baseline.shape[1:-1] if meaning.kind == "classes" else ()
        differ = np.ones((rows, *items), np.bool_)
        return Differences(differ=differ.reshape(rows, -1) if items else differ, largest=np.zeros(rows))
    candidate = classes_last(meaning, candidate)
    if meaning.kind in ("exact", "state") or baseline.dtype.kind not in "fiub":
        other = baseline != candidate
        if baseline.dtype.kind == "f":
            other &= ~np.isnan(baseline)
        differ = np.asarray(other.reshape(rows, -1).any(axis=1)) & (meaning.kind != "state")
        return Differences(differ=differ, largest=_largest(baseline, candidate, rows))
    before, after = (each.astype(np.float64) for each in (baseline, candidate))
    largest = _largest(before, after, rows)
    kinds = {"classes": _compare_classes, "vectors": _compare_vectors, "labels": _compare_labels}
    if meaning.kind in kinds:
        return kinds[meaning.kind](meaning, before, after, largest)
    rule = differ_in_order if meaning.kind == "ranks" else _differ_as_numbers
    return Differences(differ=rule(meaning, before, after), largest=largest)


def _compare_classes(meaning: Meaning, before: Floats, after: Floats, largest: Floats) -> Differences:
    rows, items = len(before), before.shape[1:-1]
    shape = (rows, -1) if items else (rows,)
    answered: Bools = ~np.asarray(np.isnan(before).any(axis=-1)).reshape(shape)
    # A row without any number counts as a pair that differs.
    answered |= ~answered.reshape(rows, -1).any(axis=1).reshape((rows, *(1,) * len(answered.shape[1:])))
    other = before.argmax(-1) != after.argmax(-1)
    differ = other | ~np.isfinite(after).all(axis=-1) | breaks_form(meaning, before, after)
    if meaning.spread:
        differ |= are_apart(meaning, before, after)
    kl = None
    if meaning.form != "chances":
        # Not-a-number counts as the largest divergence, so that it never speaks for the candidate.
        kl = np.nan_to_num(divergence(meaning, before, after), nan=-np.log(LEAST_SHARE)).reshape(shape)
    cosine = cosine_of(*(np.where(np.isnan(before), 0, each).reshape(rows, -1) for each in (before, after)))
    return Differences(
        differ=np.asarray(differ).reshape(shape),
        largest=largest,
        counted=None if answered.all() else answered,
        cosine=np.nan_to_num(cosine),
        kl=kl,
    )


def _compare_labels(meaning: Meaning, before: Floats, after: Floats, largest: Floats) -> Differences:
    one, other = (each.reshape(len(before), -1) for each in (before, after))
    missing = np.isnan(one)
    threshold = meaning.threshold or 0.0
    changed = ((one > threshold) != (other > threshold)) | np.isnan(other)
    differ = (changed & ~missing).any(axis=1) | missing.all(axis=1) | breaks_form(meaning, one, other)
    return Differences(differ=differ, largest=largest)


def _differ_as_numbers(meaning: Meaning, before: Floats, after: Floats) -> Bools:
    differ = ~are_close(meaning, before, after)
    # A tolerance that the recipe sets is the whole rule.
    if meaning.abs is None and meaning.rel is None:
        wide = [each if each.ndim > 1 else each[:, None] for each in (before, after)]
        differ |= breaks_form(meaning, *wide).reshape(len(before), -1).any(axis=1)
    return differ


def _compare_vectors(meaning: Meaning, before: Floats, after: Floats, largest: Floats) -> Differences:
    missing = np.isnan(before)
    one, other = (np.where(missing, 0, each).reshape(len(before), -1) for each in (before, after))
    cosine = cosine_of(centred(meaning, one), centred(meaning, other))
    # Negated, so that NaN differs.
    differ = ~(cosine >= ALIKE) | breaks_form(meaning, one, other) | missing.reshape(len(one), -1).all(axis=1)
    return Differences(differ=differ, largest=largest, cosine=np.nan_to_num(cosine))


def _largest(before: NDArray[np.generic], after: NDArray[np.generic], rows: int) -> Floats:
    if before.dtype.kind not in "fiub":
        return np.zeros(rows)
    floats = before.dtype.kind == after.dtype.kind == "f"
    one, other = (np.asarray(each, None if floats else np.float64) for each in (before, after))
    apart = np.abs(one - other).reshape(rows, -1).max(axis=1, initial=0.0)
    return np.asarray(np.nan_to_num(apart.astype(np.float64), posinf=np.finfo(np.float64).max))


def _moments(values: Floats | None, starts: NDArray[np.int64], rows: NDArray[np.int64]) -> Moments:
    if values is None:
        return Moments()
    means = np.add.reduceat(values, starts) / rows
    return Moments(count=len(means), total=float(means.sum()), squares=float((means**2).sum()))
