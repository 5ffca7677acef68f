"""Comparing: how far a shadow's outputs are from the baseline's, row by row. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve.figures import Task
from serve.rollout.evidence import Clusters, Comparison, Moments

Floats = NDArray[np.float64]
# Two embeddings with a lower cosine differ.
_ALIKE = 0.95
# Two numbers that are further apart than this share of the larger one differ.
_CLOSE = 0.05
# A smaller share of a class counts as this one, so that a divergence is a number that can be added up.
_LEAST_SHARE = 1e-12
# Scores that sum to 1 but for this are shares; half precision rounds.
_NEARLY = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """One output of the two on the same rows; or several, and then the worst. Shapes: [rows]."""

    differ: NDArray[np.bool_]
    largest: Floats
    # None: this kind of output has none.
    cosine: Floats | None = None
    # Of the candidate's distribution from the baseline's, in nats.
    kl: Floats | None = None

    def part(self, rows: slice) -> "Differences":
        """Some of the rows."""
        return Differences(
            differ=self.differ[rows],
            largest=self.largest[rows],
            cosine=None if self.cosine is None else self.cosine[rows],
            kl=None if self.kl is None else self.kl[rows],
        )

    def sums(self, sizes: Sequence[int]) -> Comparison:
        """All rows added up; they come from requests of so many rows, one behind the other."""
        rows = np.asarray(sizes)
        starts = np.cumsum(rows) - rows
        differ = np.add.reduceat(self.differ.astype(np.int64), starts)
        return Comparison(
            pairs=len(self.differ),
            disagreements=int(differ.sum()),
            clusters=Clusters(
                requests=len(rows),
                differing=int((differ > 0).sum()),
                differ_squares=int(differ @ differ),
                products=int(differ @ rows),
                squares=int(rows @ rows),
            ),
            cosine=_moments(self.cosine, starts, rows),
            kl=_moments(self.kl, starts, rows),
            largest_difference=float(self.largest.max(initial=0.0)),
        )


def compare(task: Task, baseline: NDArray[np.generic], candidate: NDArray[np.generic]) -> Differences:
    """One output, [rows, ...] of each. Scores of classes differ when another one is on top, embeddings when
    their cosine is low, single numbers when they are not close, anything else when it is not equal."""
    # A candidate may answer with anything; what is no number differs, and is no reason to warn.
    with np.errstate(all="ignore"):
        return _compare(task, baseline, candidate)


def worst(outputs: Sequence[Differences]) -> Differences:
    """All outputs of a model as one."""
    if len(outputs) == 1:
        return outputs[0]
    cosines = [each.cosine for each in outputs if each.cosine is not None]
    divergences = [each.kl for each in outputs if each.kl is not None]
    return Differences(
        differ=np.asarray(np.stack([each.differ for each in outputs]).any(axis=0)),
        largest=np.maximum.reduce([each.largest for each in outputs]),
        cosine=np.minimum.reduce(cosines) if cosines else None,
        kl=np.maximum.reduce(divergences) if divergences else None,
    )


def describe(task: Task, output: NDArray[np.generic], cosine: float | None) -> str:
    """One row of an output in short words: the top class and its share, or the cosine to the baseline's, or
    the value itself."""
    if output.dtype.kind == "f" and output.size > 1 and cosine is not None:
        if task == "embedding":
            return f"cosine {cosine:.3g}"
        with np.errstate(all="ignore"):
            scores = output.reshape(-1, output.shape[-1]).astype(np.float64)
            tops, shares = scores.argmax(-1), np.exp(_log_shares(scores)).max(-1)
        shown = ", ".join(f"{top} ({share:.2f})" for top, share in zip(tops[:4], shares[:4], strict=True))
        return shown + (", ..." if len(tops) > 4 else "")
    return f"{output.tolist()}"[:60]


def _compare(task: Task, baseline: NDArray[np.generic], candidate: NDArray[np.generic]) -> Differences:
    rows = len(baseline)
    if (baseline.shape, baseline.dtype.kind) != (candidate.shape, candidate.dtype.kind):
        return Differences(differ=np.ones(rows, np.bool_), largest=np.zeros(rows))
    if baseline.dtype.kind != "f":
        differ = np.asarray((baseline != candidate).reshape(rows, -1).any(axis=1))
        return Differences(differ=differ, largest=_largest(baseline, candidate, rows))
    before, after = (each.astype(np.float64) for each in (baseline, candidate))
    largest = _largest(before, after, rows)
    if before.ndim == 1 or before.shape[-1] == 1:
        scale = np.maximum(np.abs(before), np.abs(after))
        # An infinity is within a twentieth of itself.
        near = (np.abs(before - after) <= _CLOSE * scale) & np.isfinite(after)
        close = near.reshape(rows, -1).all(axis=1)
        return Differences(differ=np.asarray(~close), largest=largest)
    cosine = _cosine(before.reshape(rows, -1), after.reshape(rows, -1))
    if task == "embedding":
        # Written so that what is no number differs.
        return Differences(differ=~(cosine >= _ALIKE), largest=largest, cosine=np.nan_to_num(cosine))
    other = (before.argmax(-1) != after.argmax(-1)).reshape(rows, -1).any(axis=1)
    lost = ~np.isfinite(after).reshape(rows, -1).all(axis=1)
    divergence = _kl(before, after).reshape(rows, -1).mean(axis=1)
    return Differences(
        differ=np.asarray(other | lost),
        largest=largest,
        cosine=np.nan_to_num(cosine),
        # What is no number is nothing that would speak for the candidate.
        kl=np.nan_to_num(divergence, nan=-np.log(_LEAST_SHARE)),
    )


def _largest(before: NDArray[np.generic], after: NDArray[np.generic], rows: int) -> Floats:
    if before.dtype.kind not in "fiub":
        return np.zeros(rows)
    apart = np.abs(before.astype(np.float64) - after.astype(np.float64)).reshape(rows, -1)
    return np.asarray(np.nan_to_num(apart.max(axis=1, initial=0.0), posinf=np.finfo(np.float64).max))


def _cosine(before: Floats, after: Floats) -> Floats:
    """1 where both are 0."""
    scale = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    dots = np.einsum("ij,ij->i", before, after)
    both = ~(before.any(axis=1) | after.any(axis=1))
    return np.where(both, 1.0, dots / np.where(scale > 0, scale, 1.0))


def _kl(before: Floats, after: Floats) -> Floats:
    """KL(before || after) over the last dimension."""
    log_p, log_q = _log_shares(before), _log_shares(after)
    return np.asarray(np.maximum((np.exp(log_p) * (log_p - log_q)).sum(axis=-1), 0.0))


def _log_shares(scores: Floats) -> Floats:
    """Logs of the classes' shares: of scores that are shares already, or of their softmax. Each row by
    itself, because what is no number in one says nothing of the others."""
    total = scores.sum(axis=-1, keepdims=True)
    given = (scores >= 0).all(axis=-1, keepdims=True) & (np.abs(total - 1) <= _NEARLY)
    shifted = scores - scores.max(axis=-1, keepdims=True)
    softmax = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.maximum(np.where(given, np.log(scores), softmax), np.log(_LEAST_SHARE))


def _moments(values: Floats | None, starts: NDArray[np.int64], rows: NDArray[np.int64]) -> Moments:
    if values is None:
        return Moments()
    means = np.add.reduceat(values, starts) / rows
    return Moments(count=len(means), total=float(means.sum()), squares=float((means**2).sum()))
