"""The result of one guard in numbers: an estimate, its interval, and the evidence for harm and safety."""

import math
from collections.abc import Collection, Sequence

from serve.base.record import Record

# The probability that the interval of an estimate misses the truth at any look.
INTERVAL_ALPHA = 0.05


class Figure(Record):
    """The result of one guard. Evidence is the natural log of an e-value; None: the guard has no such
    test."""

    guard: str
    # The observation, in words and numbers.
    seen: str
    estimate: float | None = None
    # The interval at confidence 1 - INTERVAL_ALPHA, valid at every look. None: no bound on that side yet.
    low: float | None = None
    high: float | None = None
    # The evidence for "the candidate does harm", and its threshold.
    harm: float | None = None
    harm_at: float | None = None
    # The evidence for "the candidate is safe" (or cheaper), and its threshold.
    safe: float | None = None
    safe_at: float | None = None
    # Why the rollout should not progress for now, whatever the evidence; None: it may.
    waits: str | None = None

    @property
    def harmful(self) -> bool:
        """Whether harm is shown."""
        return self.harm is not None and self.harm_at is not None and self.harm >= self.harm_at

    @property
    def suspicious(self) -> bool:
        """Whether harm is likely enough to stop the progress, but not to roll back."""
        return self.harm is not None and self.safe_at is not None and self.harm >= self.safe_at

    @property
    def proven(self) -> bool:
        """Whether safety is shown."""
        return self.safe is not None and self.safe_at is not None and self.safe >= self.safe_at

    def harm_text(self) -> str:
        """The evidence for harm, as part of a sentence."""
        return f"{self.guard}: {self.seen}, odds {_odds(self.harm)} (harm from {_odds(self.harm_at)})"

    def safe_text(self) -> str:
        """The evidence for safety, as part of a sentence."""
        return f"{self.guard} unproven: {self.seen}, odds {_odds(self.safe)} of {_odds(self.safe_at)} needed"


def with_thresholds(
    figures: Sequence[tuple[Figure, float]], proof: float, families: Sequence[Collection[str]] = ()
) -> tuple[Figure, ...]:
    """Set the thresholds of the evidence.

    Args:
        figures: each figure with the confidence that its harm must reach. The error probability is shared by
        all
            figures (Bonferroni).
        proof: the confidence that safety must reach.
        families: names of guards that share the error probability of a single guard.
    """
    names = [figure.guard for figure, _ in figures]
    members = [sum(name in family for name in names) for family in families]
    shares = {name: many for family, many in zip(families, members, strict=True) for name in family}
    guards = len(figures) - sum(members) + sum(many > 0 for many in members)
    return tuple(
        figure.model_copy(
            update={
                "harm_at": tidy(math.log(guards * shares.get(figure.guard, 1) / (1 - confidence))),
                "safe_at": safe_at(proof),
            }
        )
        for figure, confidence in figures
    )


def safe_at(proof: float) -> float | None:
    """The threshold for evidence of safety with confidence `proof`. All guards must reach it, so it needs no
    correction for their number."""
    return tidy(-math.log(1 - proof))


def tidy(value: float) -> float | None:
    """`value` with 6 digits, so that all machines compute the same; None if it is infinite or NaN."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _odds(log_e: float | None) -> str:
    if log_e is None:
        return "none"
    return f"{math.exp(log_e):,.3g}" if log_e < 12 else f"10^{log_e / math.log(10):.0f}"
