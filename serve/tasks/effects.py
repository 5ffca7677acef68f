"""Explain an answer by what each feature of the row contributes to it, and compare two explanations. Pure.

The effect of a feature is the loss of the answer's score without it (serve/tasks/occlusion.py). The score is
one number for the answer that the baseline gives to the whole row, also in a variant:

- classes: the log-odds of the baseline's class, the mean over the places of a map or the tokens of a text
- labels: the score (log-odds of a probability) on the baseline's side of the threshold, the mean over labels
- ranks: how far the baseline's first item is above the mean of the others
- numbers: the number itself if there is one; otherwise how far all numbers move, in their spreads
- vectors: the cosine to the variant's own answer to the whole row

Explanations are compared by the share of the most important features (a quarter of them, at most 10) that
are the same, and by Spearman's correlation of the effects. Differences below a thousandth of the largest
effect are rounding."""

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Kind, Meaning
from serve.tasks.answer_form import classes_last
from serve.tasks.closeness import centred, cosine_of
from serve.tasks.spread import scale_of

Floats = NDArray[np.float64]
# The kinds of output that have a score.
EXPLAINED: tuple[Kind, ...] = ("classes", "labels", "ranks", "numbers", "vectors")
_MOST_TOP = 10
# The share of the features that are the most important ones.
_TOP_SHARE = 0.25
# Effects that differ by less than this share of the largest one are equal.
_NEAR = 1e-3
# The last bits of a float32, as a share of the score.
_LAST_BITS = 1e-6
# The least probability of which a logarithm is taken.
_LEAST = 1e-7


def find_effects(meaning: Meaning, answers: NDArray[np.generic], expected: NDArray[np.generic]) -> Floats:
    """Return the effect of each feature on a model's answer, [features]; 0 where the answer is no number.

    Args:
        meaning: what the numbers of the output are, of one of the kinds in `EXPLAINED`
        answers: the answer to the whole row, and then that without each feature, [1 + features, ...]
        expected: the baseline's answer to the whole row, [...]
    """
    numbers = answers.astype(np.float64)
    scores = _score(meaning, numbers, expected.astype(np.float64))
    effects: Floats = scores[0] - scores[1:]
    effects[~np.isfinite(effects)] = 0
    finite = scores[np.isfinite(scores)]
    effects[np.abs(effects) <= _LAST_BITS * np.abs(finite).max(initial=0)] = 0
    return effects


def settle(before: Floats, after: Floats) -> Floats:
    """Return the effects `after`, as those `before` where they differ by rounding only."""
    near = np.abs(after - before) <= _NEAR * np.abs(before).max(initial=0)
    return np.where(near, before, after)


def compare_effects(before: Floats, after: Floats) -> tuple[float, float]:
    """Return the share of the most important features that are the same, 0 to 1, and the rank correlation,
    -1 to 1, of two explanations of one row, [features] each. Both are 1 if no feature has an effect."""
    if not len(before) or (not before.any() and not after.any()):
        return 1.0, 1.0
    ranks = [each - each.mean() for each in map(_rank, (before, after))]
    scale = float(np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    # If all effects of one are equal, they have no order.
    rank = float(ranks[0] @ ranks[1]) / scale if scale > 0 else 0.0
    return _overlap(np.abs(before), np.abs(after)), min(1.0, rank)


def count_top(features: int) -> int:
    """The number of the most important features that are compared."""
    return min(_MOST_TOP, max(1, round(_TOP_SHARE * features)))


def _rank(effects: Floats) -> Floats:
    """The ranks of the effects; equal ones share their mean rank."""
    _, places, counts = np.unique(effects, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _overlap(before: Floats, after: Floats) -> float:
    """The share of the most important features after that are important before, too. Features that tie for
    the last places share them."""
    top = count_top(len(before))
    least = np.sort(before)[-top] - _NEAR * before.max()
    last = np.sort(after)[-top]
    above, tied = after > last, after == last
    weight = np.where(above, 1.0, np.where(tied, (top - above.sum()) / tied.sum(), 0.0))
    return float(weight @ (before >= least)) / top


def _score(meaning: Meaning, answers: Floats, expected: Floats) -> Floats:
    """The score of each answer, [answers]."""
    rows = len(answers)
    match meaning.kind:
        case "classes":
            scores = classes_last(meaning, answers).reshape(rows, -1, answers.shape[meaning.axis])
            chosen = classes_last(meaning, expected[None]).reshape(scores.shape[1:]).argmax(axis=-1)
            return np.asarray(_class_odds(meaning, scores, chosen).mean(axis=1))
        case "labels":
            side = np.where(expected > (meaning.threshold or 0), 1.0, -1.0).reshape(-1)
            return np.asarray((_label_odds(meaning, answers).reshape(rows, -1) * side).mean(axis=1))
        case "ranks":
            items, first = answers.reshape(rows, -1), int(np.nanargmax(expected.reshape(-1)))
            return np.asarray(items[:, first] - np.nanmean(np.delete(items, first, axis=1), axis=1))
        case "vectors":
            vectors = centred(meaning, answers.reshape(rows, -1))
            return cosine_of(np.broadcast_to(vectors[0], vectors.shape), vectors)
    if answers[0].size == 1:
        return answers.reshape(rows)
    scale = scale_of(meaning, answers.shape)
    moved = (answers - answers[0]) / np.where(scale > 0, scale, 1.0) if scale.size else answers - answers[0]
    return np.asarray(-np.sqrt(np.nanmean(np.square(moved.reshape(rows, -1)), axis=1)))


def _class_odds(meaning: Meaning, scores: Floats, chosen: NDArray[np.intp]) -> Floats:
    """The log-odds of the chosen class, [answers, items], from the scores [answers, items, classes]."""
    if meaning.form in ("shares", "chances"):
        scores = np.log(np.maximum(scores, _LEAST))
    items = np.arange(len(chosen))
    mine = scores[:, items, chosen]
    others = scores.copy()
    others[:, items, chosen] = -np.inf
    highest = others.max(axis=-1, keepdims=True)
    return np.asarray(mine - highest[..., 0] - np.log(np.exp(others - highest).sum(axis=-1)))


def _label_odds(meaning: Meaning, scores: Floats) -> Floats:
    if meaning.form not in ("shares", "chances"):
        return scores - (meaning.threshold or 0)
    shares = np.clip(scores, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(shares) - np.log1p(-shares))
