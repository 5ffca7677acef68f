"""Figure: what one guard found, in numbers: an estimate, its interval, and how far the evidence is."""

import math
from collections.abc import Collection, Sequence

from serve.base.record import Record

# How likely the interval of an estimate is to miss the truth, at whichever of all looks.
INTERVAL_ALPHA = 0.05


class Figure(Record):
    """Evidence is a natural log of an e-value; None: this guard knows no such thing."""

    guard: str
    # What was seen, in words and numbers.
    seen: str
    estimate: float | None = None
    # The interval holds the truth at every look, but for INTERVAL_ALPHA. None: no bound on that side yet.
    low: float | None = None
    high: float | None = None
    # For "the candidate does harm", and what it must reach.
    harm: float | None = None
    harm_at: float | None = None
    # For "the candidate is safe", or cheaper, and what it must reach.
    safe: float | None = None
    safe_at: float | None = None
    # Why the rollout should go no further for now, whatever the evidence; None: it may.
    waits: str | None = None

    @property
    def harmful(self) -> bool:
        """Whether harm is shown."""
        return self.harm is not None and self.harm_at is not None and self.harm >= self.harm_at

    @property
    def suspicious(self) -> bool:
        """Whether harm is likely enough to go no further, though not to go back."""
        return self.harm is not None and self.safe_at is not None and self.harm >= self.safe_at

    @property
    def proven(self) -> bool:
        """Whether safety is shown."""
        return self.safe is not None and self.safe_at is not None and self.safe >= self.safe_at

    def harm_said(self) -> str:
        """The evidence for harm as a sentence's end."""
        return f"{self.guard}: {self.seen}, odds {_odds(self.harm)} where {_odds(self.harm_at)} show harm"

    def safe_said(self) -> str:
        """How far the proof of safety is."""
        return f"{self.guard} unproven: {self.seen}, odds {_odds(self.safe)} of {_odds(self.safe_at)} needed"


def with_thresholds(
    found: Sequence[tuple[Figure, float]], proof: float, families: Sequence[Collection[str]] = ()
) -> tuple[Figure, ...]:
    """What was found, with what its evidence must reach. Each figure comes with how sure harm must be: over
    all of them together, hence each one's odds times their number (Bonferroni). Each of the `families` of
    guards counts as one, whose odds its members share."""
    names = [figure.guard for figure, _ in found]
    members = [sum(name in family for name in names) for family in families]
    shares = {name: many for family, many in zip(families, members, strict=True) for name in family}
    guards = len(found) - sum(members) + sum(many > 0 for many in members)
    return tuple(
        figure.model_copy(
            update={
                "harm_at": tidy(math.log(guards * shares.get(figure.guard, 1) / (1 - confidence))),
                "safe_at": safe_at(proof),
            }
        )
        for figure, confidence in found
    )


def safe_at(proof: float) -> float | None:
    """What evidence of safety must reach to be as sure as `proof`. All guards must reach it, so their number
    needs no correction."""
    return tidy(-math.log(1 - proof))


def tidy(value: float) -> float | None:
    """`value` with 6 digits, so that other machines compute the same; None when it is infinite or NaN."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _odds(log_e: float | None) -> str:
    if log_e is None:
        return "none"
    return f"{math.exp(log_e):,.3g}" if log_e < 12 else f"10^{log_e / math.log(10):.0f}"
