"""Likeness: whether a shadow answers as the baseline does, on the same inputs.

Pairs are taken as independent; inputs that repeat say less than they count."""

from serve.rollout.evidence import Comparison, Moments
from serve.rollout.figure import Figure, tidy
from serve.rollout.policy import Shadow
from serve.rollout.sequential import log_mean_above, log_rate_above, log_rate_below, rate_interval


def compare(shadow: Shadow, comparison: Comparison) -> tuple[Figure, ...]:
    """A figure for each limit of `shadow`."""
    figures = [_agreement(shadow, comparison)]
    if shadow.cosine is not None:
        figures.append(_drift("cosine", comparison.cosine, shadow.cosine, 1 - shadow.cosine, least=True))
    if shadow.kl is not None:
        figures.append(_drift("KL", comparison.kl, shadow.kl, shadow.kl, least=False))
    return tuple(figures)


def _agreement(shadow: Shadow, comparison: Comparison) -> Figure:
    """The share of pairs with different top answers against the share that may differ."""
    differ, pairs, limit = comparison.disagreements, comparison.pairs, 1 - shadow.agreement
    low, high = rate_interval(differ, pairs, 0.05) if pairs else (0.0, 1.0)
    return Figure(
        guard="disagreement",
        seen=f"{differ:,} of {pairs:,} pairs differ, {differ / max(pairs, 1):.2%} [{low:.2%}, {high:.2%}], "
        f"where {limit:.2%} may",
        estimate=tidy(differ / pairs) if pairs else None,
        low=tidy(low),
        high=tidy(high),
        harm=tidy(float(log_rate_above(differ, pairs, limit))),
        safe=tidy(float(log_rate_below(differ, pairs, limit))),
    )


def _drift(name: str, moments: Moments, limit: float, scale: float, *, least: bool) -> Figure:
    """A mean against its limit: at `least` it, or else at most it; `scale` is a likely distance to it."""
    count, total, squares = moments.count, moments.total, moments.squares
    above = float(log_mean_above(count, total, squares, limit, scale))
    below = float(log_mean_above(count, -total, squares, -limit, scale))
    harm, safe = (below, above) if least else (above, below)
    return Figure(
        guard=name,
        seen=f"mean {name} {total / max(count, 1):.4g} over {count:,} pairs, "
        f"{'at least' if least else 'at most'} {limit:.4g} asked",
        estimate=tidy(total / count) if count else None,
        harm=tidy(harm),
        safe=tidy(safe),
    )
