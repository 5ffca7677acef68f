"""One kind of bad events of live requests, with its guard. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from serve.rollout.evidence.evidence import Segment
from serve.rollout.judging.counts import Counts, trials_of
from serve.rollout.judging.guard_figure import Figure
from serve.rollout.judging.guards import safety, watch
from serve.rollout.state.policy import AccuracyGuard, ErrorGuard, QuantileGuard

# Factors by which the traffic of a step may grow: up to 10,000 times, 20 values per factor of 10.
_GROWTH = np.logspace(0, 4, 81)
# Kind of events -> its counts.
Count = Callable[[str], Counts]


@dataclass(frozen=True, kw_only=True)
class GuardedMetric:
    """What a guard watches."""

    name: str
    guard: ErrorGuard | QuantileGuard | AccuracyGuard
    # The kind of events, as a field of a segment.
    kind: str
    # A description of the events, if the name is not enough.
    description: str = ""
    # Why nothing can be judged yet; empty if it can.
    unknown_reason: str = ""
    # Whether safety must be proven; not if there is too little traffic for a proof.
    needs_proof: bool = True

    def figure(self, segments: Sequence[Segment], count: Count) -> Figure:
        """The result of the guard, without its thresholds."""
        if self.unknown_reason:
            return Figure(guard=self.name, seen=self.unknown_reason)
        figure = watch(self.name, self.guard, segments, self.kind, count(self.kind))
        seen = self.description + figure.seen
        if self.needs_proof:
            return figure.model_copy(update={"seen": seen})
        return figure.model_copy(update={"seen": f"{seen}; too little traffic to prove it", "safe": None})

    def growth(self, segments: Sequence[Segment], count: Count, step: int, least: float) -> float | None:
        """By which factor the traffic of `step` must still grow, at the present rates, until the evidence of
        safety is `least`; None if this is not in sight."""
        counts = count(self.kind)
        here = np.array([segment.step == step for segment in segments])
        scale = np.where(here, _GROWTH[:, None], 1.0)
        trials = np.array([getattr(segment, trials_of(self.kind)).candidate for segment in segments], float)
        grown = replace(
            counts,
            candidate=counts.candidate * scale,
            both=counts.both * scale,
            trials=(trials * scale).sum(-1),
        )
        enough = safety(self.guard, grown) >= least
        return float(_GROWTH[enough.argmax()] - 1) if enough.any() else None


def about(seconds: float | None) -> str:
    """The remaining time as the end of a sentence; empty if it is short."""
    if seconds is None:
        return ", not in sight at this rate"
    for unit, size, least in (("d", 86_400, 2), ("h", 3600, 1.5), ("min", 60, 2)):
        if seconds >= least * size:
            return f", about {seconds / size:,.0f} {unit} at this rate"
    return ""
