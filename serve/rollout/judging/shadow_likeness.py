"""Test whether a shadow gives the same answers as the baseline on the same inputs.

Requests are assumed to be independent, their rows are not. Repeated inputs prove less than their count."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from serve.counting.shadow_results import MOST_SLICES
from serve.rollout.evidence.evalues import (
    Array,
    Number,
    log_mean_above,
    log_rate_above,
    log_rate_below,
    rate_interval,
)
from serve.rollout.evidence.evidence import Comparison, Moments
from serve.rollout.judging.guard_figure import INTERVAL_ALPHA, Figure, tidy
from serve.rollout.state.policy import ShadowPolicy

# The weight of the initial caution, in requests that differ.
_FEW_REQUESTS = 10
# The slices that a gateway counts separately, and the one for all others.
_SLICES = MOST_SLICES + 1
# Slices that are named in one sentence.
_NAMED = 3


class Pairs(NamedTuple):
    """Sums over pairs of answers, by request; see `Comparison` and its `Clusters`. All are [...]."""

    differ: Number
    pairs: Number
    differing: Number
    differ_squares: Number
    products: Number
    squares: Number


def pairs_of(comparison: Comparison) -> Pairs:
    """The sums of a comparison."""
    rows = comparison.clusters
    return Pairs(
        comparison.disagreements,
        comparison.pairs,
        rows.differing,
        rows.differ_squares,
        rows.products,
        rows.squares,
    )


def design_effect(seen: Pairs) -> Array:
    """The number of pairs per independent pair, because the rows of one request are alike.

    The variance of the differing share with requests as clusters, divided by that of independent rows (Kish,
    Survey Sampling, 1965). While few requests differ, this is unreliable, and all rows of a request count as
    one. Dividing counts by it gives e-values for the corresponding number of independent rows.

    Args:
        seen: sums over pairs, [...].

    Returns:
        Numbers of at least 1, [...].
    """
    differ, pairs, squares = (np.asarray(each, float) for each in (seen.differ, seen.pairs, seen.squares))
    share = differ / np.maximum(pairs, 1)
    misfit = seen.differ_squares - 2 * share * seen.products + share**2 * squares
    independent = share * (1 - share) * pairs
    ratio = np.divide(misfit, independent, out=np.ones_like(misfit), where=independent > 0)
    measured = np.maximum(ratio, 1.0)
    assumed = np.maximum(measured, squares / np.maximum(pairs, 1))
    requests = np.asarray(seen.differing, float)
    return np.asarray((requests * measured + _FEW_REQUESTS * assumed) / (requests + _FEW_REQUESTS))


def above(seen: Pairs, limit: float) -> Array:
    """Log evidence that more than the share `limit` of the pairs differ, [...]."""
    effect = design_effect(seen)
    return log_rate_above(seen.differ / effect, seen.pairs / effect, limit)


def below(seen: Pairs, limit: float) -> Array:
    """Log evidence that less than the share `limit` of the pairs differ, [...]."""
    effect = design_effect(seen)
    return log_rate_below(seen.differ / effect, seen.pairs / effect, limit)


def compare(shadow: ShadowPolicy, comparison: Comparison) -> tuple[Figure, ...]:
    """A figure for each limit of `shadow`."""
    figures = [_agreement(shadow, comparison)]
    if shadow.cosine is not None:
        figures.append(_drift("cosine", comparison.cosine, shadow.cosine, 1 - shadow.cosine, least=True))
    if shadow.kl is not None:
        figures.append(_drift("kl", comparison.kl, shadow.kl, shadow.kl, least=False))
    return tuple(figures)


def compare_slices(agreement: float, slices: Mapping[str, Comparison], proof: float) -> Figure:
    """Test whether any slice agrees less than `agreement`. Slices that prevent a step at `proof` are named.

    One figure for all slices, by e-BH (Wang & Ramdas, arXiv:2009.02824), always as if there were as many
    slices as a gateway counts separately, so that the number of slices does not matter."""
    limit = 1 - agreement
    odds = {name: float(above(pairs_of(part), limit)) for name, part in slices.items()}
    order = sorted(odds, key=lambda name: (-odds[name], name))
    shared = [odds[name] + math.log(place / _SLICES) for place, name in enumerate(order, 1)]
    if not shared:
        return Figure(guard="slices", seen="no request named a slice")
    harmful = sum(each >= min(max(shared), -math.log(1 - proof)) for each in shared)
    named = [
        f"{name!r}: {_differ(slices[name], limit, _interval(slices[name]))}"
        for name in order[:harmful][:_NAMED]
    ]
    more = harmful - len(named)
    return Figure(
        guard="slices",
        seen="; ".join(named) + (f"; and {more} more" if more else ""),
        harm=tidy(max(shared)),
    )


def _agreement(shadow: ShadowPolicy, comparison: Comparison) -> Figure:
    """The share of pairs that differ against the share that may differ."""
    limit, seen = 1 - shadow.agreement, pairs_of(comparison)
    low, high = _interval(comparison)
    text = _differ(comparison, limit, (low, high))
    if (requests := comparison.clusters.requests) < comparison.pairs:
        text += (
            f"; from {requests:,} requests, whose rows are alike: {float(design_effect(seen)):.3g} pairs "
            "count as one"
        )
    return Figure(
        guard="disagreement",
        seen=text,
        estimate=tidy(comparison.disagreements / comparison.pairs) if comparison.pairs else None,
        low=tidy(low),
        high=tidy(high),
        harm=tidy(float(above(seen, limit))),
        safe=tidy(float(below(seen, limit))),
    )


def _differ(comparison: Comparison, limit: float, interval: tuple[float, float]) -> str:
    differ, pairs = comparison.disagreements, comparison.pairs
    low, high = interval
    return (
        f"{differ:,} of {pairs:,} pairs differ, {differ / max(pairs, 1):.2%} [{low:.2%}, {high:.2%}], "
        f"allowed {limit:.2%}"
    )


def _interval(comparison: Comparison) -> tuple[float, float]:
    if not comparison.pairs:
        return 0.0, 1.0
    effect = float(design_effect(pairs_of(comparison)))
    return rate_interval(comparison.disagreements / effect, comparison.pairs / effect, INTERVAL_ALPHA)


def _drift(name: str, moments: Moments, limit: float, scale: float, *, least: bool) -> Figure:
    """A mean against its limit, a minimum if `least`, else a maximum; `scale` is a likely distance to it."""
    count, total, squares = moments.count, moments.total, moments.squares
    over = float(log_mean_above(count, total, squares, limit, scale))
    under = float(log_mean_above(count, -total, squares, -limit, scale))
    harm, safe = (under, over) if least else (over, under)
    return Figure(
        guard=name,
        seen=f"mean {name} {total / max(count, 1):.4g} over {count:,} requests, "
        f"{'at least' if least else 'at most'} {limit:.4g} required",
        estimate=tidy(total / count) if count else None,
        harm=tidy(harm),
        safe=tidy(safe),
    )
