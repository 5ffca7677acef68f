"""McNemar: whether the candidate is wrong more often where both answered and a label came, overall and by the
class of the label; at every look.

If the two are equally good, each request that only one of them had right is a fair coin. That assumes that
labels come for right answers as for wrong ones: whoever labels only what the baseline had right would find it
the better one."""

import math
from collections.abc import Mapping

import numpy as np

from serve.rollout.evidence.evalues import Array, Number, log_rate_above, log_sum
from serve.rollout.evidence.matched import MOST_CLASSES, Matched
from serve.rollout.judging.guard_figure import Figure, tidy
from serve.rollout.state.policy import AccuracyGuard

# Bets, as shares of the largest that cannot lose everything at once: for a fair coin the upper half of
# Robbins' Beta(1/2, 1/2) mixture.
_BETS = np.cos((np.arange(64) + 0.5) * np.pi / 128)
# Classes that are named in one sentence.
_NAMED = 3
_NAME = "shadow accuracy"


def log_worse(baseline_alone: Number, candidate_alone: Number, neither: Number, ratio: float) -> Array:
    """Against "the candidate is wrong at most `ratio` times as often", `ratio` at least 1; arrays broadcast.

    Each request wins 1 where the candidate is wrong, and loses `ratio` where the baseline is: a game that is
    not favourable under the null. The wealth of whoever bets on it is an e-process (Waudby-Smith & Ramdas,
    arXiv:2010.09686), and so is its mean over bets. With `ratio` 1 it is McNemar's coin."""
    counts = baseline_alone, candidate_alone, neither
    alone, other, both = (np.asarray(each, float)[..., None] for each in counts)
    wealth = alone * np.log1p(_BETS / ratio) + other * np.log1p(-_BETS)
    wealth = wealth + both * np.log1p(_BETS * (1 - ratio) / ratio)
    return log_sum(wealth) - math.log(len(_BETS))


def matched_harm(guard: AccuracyGuard, whole: Array, apart: Array, classes: int) -> tuple[Array, Array]:
    """Log evidence that the candidate is wrong more often: by all labels, and by those of each class with its
    share of the odds, in descending order. Counts are [..., 4] and [..., class, 4], as `Matched` has them.

    Classes share the odds by e-BH (Wang & Ramdas, arXiv:2009.02824), as if each had labels. In one of them
    more is allowed than overall: what is called safe, `tolerance` times as many wrong answers."""
    shared = -np.sort(-_rate_harm(guard, apart, guard.tolerance), axis=-1)
    places = np.arange(1, shared.shape[-1] + 1)
    return _rate_harm(guard, whole, guard.harm), shared + np.log(places / max(classes, 1))


def watch_matched(guard: AccuracyGuard, matched: Mapping[int, Matched], classes: int, proof: float) -> Figure:
    """What labels of the shadow show; `matched` is by the class of the label, of so many `classes`. Named are
    the classes that hold a step at `proof`. Half of the evidence is that of all labels."""
    whole = sum(matched.values(), Matched())
    if not whole.labelled:
        return Figure(guard=_NAME, seen="no label of the shadow yet")
    classes = min(classes, MOST_CLASSES)
    apart = [number for number in matched if number < classes]
    counts = np.array([_counts(matched[number]) for number in apart], float).reshape(-1, 4)
    overall, shared = matched_harm(guard, np.array(_counts(whole), float), counts, classes)
    harm = float(np.logaddexp(overall, shared.max(initial=-np.inf))) - math.log(2)
    held = np.flatnonzero(shared >= math.log(2) - math.log(1 - proof))
    order = np.argsort(-_rate_harm(guard, counts, guard.tolerance), kind="stable")
    worst = [apart[place] for place in order[: held.max(initial=-1) + 1]]
    named = "".join(f"; class {number}: {_alone(matched[number])}" for number in worst[:_NAMED])
    more = f"; and {len(worst) - _NAMED} more classes" if len(worst) > _NAMED else ""
    return Figure(guard=_NAME, seen=f"{_seen(whole)}{named}{more}", harm=tidy(min(harm, 1e6)))


def _counts(part: Matched) -> tuple[int, ...]:
    return part.labelled, part.baseline_alone, part.candidate_alone, part.neither


def _rate_harm(guard: AccuracyGuard, counts: Array, ratio: float) -> Array:
    """A rate of wrong answers above both `ratio` times the baseline's and what is allowed."""
    labelled, alone, other, neither = np.moveaxis(counts, -1, 0)
    often = log_worse(alone, other, neither, ratio)
    return np.asarray(np.minimum(often, log_rate_above(alone + neither, labelled, guard.allowed)))


def _seen(whole: Matched) -> str:
    baseline, candidate = (f"{wrong / whole.labelled:.2%}" for wrong in whole.wrong)
    return f"{candidate} wrong against {baseline} of the baseline's; {_alone(whole)}"


def _alone(part: Matched) -> str:
    return (
        f"the baseline alone was right in {part.baseline_alone:,}, the candidate alone in "
        f"{part.candidate_alone:,} of {part.labelled:,} labelled requests"
    )
