"""Test whether the candidate is wrong more often on labelled requests that both variants answered, overall
and by class, at every look.

If the two are equally good, each request that only one of them had right is a fair coin. This assumes that
right and wrong answers are labelled alike: if only the baseline's right answers are labelled, the baseline
seems better."""

import math
from collections.abc import Mapping

import numpy as np

from serve.rollout.evidence.evalues import Array, Number, log_rate_above, log_sum
from serve.rollout.evidence.matched_pairs import MOST_CLASSES, MatchedPairs
from serve.rollout.judging.guard_figure import Figure, tidy
from serve.rollout.state.policy import AccuracyGuard

# Bets, as shares of the largest bet that cannot lose everything at once: for a fair coin, the upper half of
# Robbins' Beta(1/2, 1/2) mixture.
_BETS = np.cos((np.arange(64) + 0.5) * np.pi / 128)
# Classes that are named in one sentence.
_NAMED = 3
_NAME = "shadow accuracy"


def log_worse(baseline_alone: Number, candidate_alone: Number, neither: Number, ratio: float) -> Array:
    """Against "the candidate is wrong at most `ratio` times as often as the baseline".

    Each request wins 1 if the candidate is wrong, and loses `ratio` if the baseline is: under the null
    hypothesis the game is not favourable. The wealth of a bettor is an e-process (Waudby-Smith & Ramdas,
    arXiv:2010.09686), and so is its mean over bets. With `ratio` 1 this is McNemar's coin.

    Args:
        baseline_alone: requests that only the baseline had right, [...].
        candidate_alone: requests that only the candidate had right, [...].
        neither: requests that neither had right, [...].
        ratio: at least 1.

    Returns:
        Log e-values, [...].
    """
    counts = baseline_alone, candidate_alone, neither
    alone, other, both = (np.asarray(each, float)[..., None] for each in counts)
    wealth = alone * np.log1p(_BETS / ratio) + other * np.log1p(-_BETS)
    wealth = wealth + both * np.log1p(_BETS * (1 - ratio) / ratio)
    return log_sum(wealth) - math.log(len(_BETS))


def matched_harm(guard: AccuracyGuard, whole: Array, apart: Array, classes: int) -> tuple[Array, Array]:
    """Log evidence that the candidate is wrong more often.

    Classes share the error probability by e-BH (Wang & Ramdas, arXiv:2009.02824), as if each had labels.
    Within one class more is allowed than overall: `tolerance` times as many wrong answers.

    Args:
        guard: the limits of the policy.
        whole: counts of all labels in the order of `MatchedPairs`, [..., 4].
        apart: the same for each class, [..., class, 4].
        classes: the number of classes.

    Returns:
        The evidence of all labels, [...], and of the classes in descending order, [..., class].
    """
    shared = -np.sort(-_rate_harm(guard, apart, guard.tolerance), axis=-1)
    places = np.arange(1, shared.shape[-1] + 1)
    return _rate_harm(guard, whole, guard.harm), shared + np.log(places / max(classes, 1))


def watch_matched(
    guard: AccuracyGuard, matched: Mapping[int, MatchedPairs], classes: int, proof: float
) -> Figure:
    """The figure for the labels of the shadow; `matched` is by class, out of `classes`. Classes that prevent
    a step at `proof` are named. All labels together have half of the error probability."""
    whole = sum(matched.values(), MatchedPairs())
    if not whole.labelled:
        return Figure(guard=_NAME, seen="no label of the shadow yet")
    classes = min(classes, MOST_CLASSES)
    apart = [number for number in matched if number < classes]
    counts = np.array([_counts(matched[number]) for number in apart], float).reshape(-1, 4)
    overall, shared = matched_harm(guard, np.array(_counts(whole), float), counts, classes)
    harm = float(np.logaddexp(overall, shared.max(initial=-np.inf))) - math.log(2)
    classes_proven = np.flatnonzero(shared >= math.log(2) - math.log(1 - proof))
    order = np.argsort(-_rate_harm(guard, counts, guard.tolerance), kind="stable")
    worst = [apart[place] for place in order[: classes_proven.max(initial=-1) + 1]]
    named = "".join(f"; class {number}: {_alone(matched[number])}" for number in worst[:_NAMED])
    more = f"; and {len(worst) - _NAMED} more classes" if len(worst) > _NAMED else ""
    return Figure(guard=_NAME, seen=f"{_seen(whole)}{named}{more}", harm=tidy(min(harm, 1e6)))


def _counts(part: MatchedPairs) -> tuple[int, ...]:
    return part.labelled, part.baseline_alone, part.candidate_alone, part.neither


def _rate_harm(guard: AccuracyGuard, counts: Array, ratio: float) -> Array:
    """Evidence that the rate of wrong answers is above both `ratio` times the baseline's and what is
    allowed."""
    labelled, alone, other, neither = np.moveaxis(counts, -1, 0)
    often = log_worse(alone, other, neither, ratio)
    return np.asarray(np.minimum(often, log_rate_above(alone + neither, labelled, guard.allowed)))


def _seen(whole: MatchedPairs) -> str:
    baseline, candidate = (f"{wrong / whole.labelled:.2%}" for wrong in whole.wrong)
    return f"{candidate} wrong against {baseline} of the baseline's; {_alone(whole)}"


def _alone(part: MatchedPairs) -> str:
    return (
        f"only the baseline was right in {part.baseline_alone:,}, only the candidate in "
        f"{part.candidate_alone:,} of {part.labelled:,} labelled requests"
    )
