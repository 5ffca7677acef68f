"""Watched: one kind of bad event among live requests with the guard that it is held against. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from serve.rollout.evidence.evidence import Segment
from serve.rollout.judging.counts import Counts, trials_of
from serve.rollout.judging.guard_figure import Figure
from serve.rollout.judging.guards import safety, watch
from serve.rollout.state.policy import AccuracyGuard, ErrorGuard, QuantileGuard

# By how much the traffic of a step may have to grow: up to 10,000 times, 20 steps to a factor of 10.
_GROWTH = np.logspace(0, 4, 81)
# Of a kind of events: what all that was seen comes to.
Count = Callable[[str], Counts]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a guard watches."""

    name: str
    guard: ErrorGuard | QuantileGuard | AccuracyGuard
    # Of a segment's events.
    kind: str
    # What it is that is counted, where the name does not say it.
    said: str = ""
    # Why nothing can be said of it yet; empty: something can.
    unknown: str = ""
    # Whether its proof is asked for; not where there is too little traffic for one.
    asked: bool = True

    def figure(self, segments: Sequence[Segment], count: Count) -> Figure:
        """What the guard finds; the figure still lacks what its evidence must reach."""
        if self.unknown:
            return Figure(guard=self.name, seen=self.unknown)
        figure = watch(self.name, self.guard, segments, self.kind, count(self.kind))
        seen = self.said + figure.seen
        if self.asked:
            return figure.model_copy(update={"seen": seen})
        return figure.model_copy(update={"seen": f"{seen}; too little traffic to prove it", "safe": None})

    def growth(self, segments: Sequence[Segment], count: Count, step: int, least: float) -> float | None:
        """By how many times its traffic so far `step` must go on, all rates as they were, until the evidence
        of safety is `least`; None: it is not in sight."""
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
    """How long something still takes, as the end of a sentence; empty: no time worth telling."""
    if seconds is None:
        return ", not in sight at this rate"
    for unit, size, least in (("d", 86_400, 2), ("h", 3600, 1.5), ("min", 60, 2)):
        if seconds >= least * size:
            return f", about {seconds / size:,.0f} {unit} at this rate"
    return ""
