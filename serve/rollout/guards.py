"""Guards: events among live requests that the candidate must not have more of than the baseline."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from serve.rollout.evidence import Events, Pair, Segment
from serve.rollout.figure import Figure, tidy
from serve.rollout.policy import AccuracyGuard, ErrorGuard, LatencyGuard, QuantileGuard
from serve.rollout.sequential import (
    Array,
    Bursts,
    dispersion,
    log_mismatch,
    log_rate_above,
    log_rate_below,
    log_ratio_above,
    log_ratio_below,
)

# Ratios that an interval can end at: three decades either way, 20 to a factor of 10.
_RATIOS = np.logspace(-3, 3, 121)
_INTERVAL = np.log(2 / 0.05)
# A split that is kept looks broken once in so many rollouts.
_MISMATCH_ODDS = 1000


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Events of one kind. Shapes: [..., segment], `shares` [segment], `trials` [...]."""

    candidate: Array
    both: Array
    shares: Array
    # The candidate's requests that could have become one.
    trials: Array
    dispersion: Array

    @property
    def drawn(self) -> tuple[Array, Array, Array]:
        """The events as draws of a label: the candidate's, both's, and the shares they were drawn with."""
        return self.candidate / self.dispersion, self.both / self.dispersion, self.shares


def harm(guard: ErrorGuard | QuantileGuard | AccuracyGuard, counts: Counts) -> Array:
    """Log evidence that the candidate's rate is above both `harm` times the baseline's and `allowed`.

    Harm is one only if both are so; the weaker of the two e-values is one against its absence. For the limit
    that stays, a rate above both `excess` times the baseline's and `rare` is harm as well: of these two, the
    mean of the e-values is one."""
    events = counts.candidate.sum(-1)
    ratio = log_ratio_above(*counts.drawn, guard.harm)
    evidence = np.minimum(ratio, log_rate_above(events, counts.trials, guard.allowed))
    if not isinstance(guard, LatencyGuard):
        return evidence
    ratio = log_ratio_above(*alike(counts).drawn, _excess(guard))
    often = np.minimum(ratio, log_rate_above(events, counts.trials, guard.rare))
    return np.asarray(np.logaddexp(evidence, often) - np.log(2))


def safety(guard: ErrorGuard | QuantileGuard | AccuracyGuard, counts: Counts) -> Array:
    """Log evidence that the rate is below `tolerance` times the baseline's, or below `allowed`.

    Either is enough, so the mean of the two e-values is one. The second takes requests as independent: a calm
    stretch between bursts may pass, which is what a step's minimum time is for. For the limit that stays, a
    rate below `allowed` must be below `excess` times the baseline's too, unless it is below `rare`."""
    events = counts.candidate.sum(-1)
    ratio = log_ratio_below(*counts.drawn, guard.tolerance)
    rate = log_rate_below(events, counts.trials, guard.allowed)
    if not isinstance(guard, LatencyGuard):
        return np.asarray(np.logaddexp(ratio, rate) - np.log(2))
    rate = np.minimum(rate, log_ratio_below(*alike(counts).drawn, _excess(guard)))
    rare = log_rate_below(events, counts.trials, guard.rare)
    return np.asarray(np.logaddexp(np.logaddexp(ratio, rate), rare) - np.log(3))


def alike(counts: Counts) -> Counts:
    """The counts of the segments in which the candidate had no more of the traffic than the baseline: who has
    more has the longer queue, and few requests over a limit are soon three times as many."""
    even = counts.shares <= 1 / 2
    return replace(
        counts, candidate=np.where(even, counts.candidate, 0.0), both=np.where(even, counts.both, 0.0)
    )


def _excess(guard: LatencyGuard) -> float:
    return max(guard.excess, guard.tolerance)


def shares_of(segments: Sequence[Segment]) -> Array:
    """The candidate's share per segment: as asked, or where keys were drawn, as it came.

    A few busy keys make the share of requests another than the share of keys. Then labels are no fair draws
    either: what sticks to one key, such as an input that always fails, can look like the variant's fault."""
    return np.array(
        [
            segment.requests.candidate / max(segment.requests.both, 1) if segment.sticky else segment.split
            for segment in segments
        ]
    )


def counts_of(segments: Sequence[Segment], events: Sequence[Events], trials: Sequence[Pair]) -> Counts:
    """The sums of one kind of event as arrays."""
    candidate = np.array([event.candidate for event in events], float)
    both = np.array([event.both for event in events], float)
    return Counts(
        candidate=candidate,
        both=both,
        shares=shares_of(segments),
        trials=np.array(sum(pair.candidate for pair in trials), float),
        dispersion=dispersion(
            candidate,
            both,
            Bursts(
                np.array([event.candidate_ticks for event in events], float),
                np.array([event.candidate_squares for event in events], float),
                np.array([event.products for event in events], float),
                np.array([event.squares for event in events], float),
            ),
        ),
    )


def watch(
    name: str,
    guard: ErrorGuard | QuantileGuard | AccuracyGuard,
    segments: Sequence[Segment],
    events: Sequence[Events],
    trials: Sequence[Pair],
) -> Figure:
    """What `guard` finds in the segments; the figure still lacks what its evidence must reach."""
    counts = counts_of(segments, events, trials)
    low, high = _interval(counts)
    ratio = _estimate(counts)
    seen = (
        f"{_rate(events, trials, 'candidate')} against {_rate(events, trials, 'baseline')} of the baseline's"
    )
    if math.isfinite(ratio):
        seen += f", {ratio:.3g} times as often [{low:.3g}, {high:.3g}]"
    return Figure(
        guard=name,
        seen=seen,
        estimate=tidy(ratio),
        low=tidy(low),
        high=tidy(high),
        harm=tidy(min(float(harm(guard, counts)), 1e6)),
        safe=tidy(min(float(safety(guard, counts)), 1e6)),
    )


def watch_split(segments: Sequence[Segment]) -> Figure:
    """Whether the candidate got another share of the requests than asked; keys that stick cannot tell."""
    drawn = [segment for segment in segments if not segment.sticky]
    candidate = np.array([segment.requests.candidate for segment in drawn], float)
    both = np.array([segment.requests.both for segment in drawn], float)
    shares = shares_of(drawn)
    return Figure(
        guard="split",
        seen=f"the candidate got {candidate.sum():,.0f} of {both.sum():,.0f} requests where "
        f"{shares @ both:,.0f} were asked",
        harm=tidy(min(float(log_mismatch(candidate, both, shares)), 1e6)),
        harm_at=tidy(math.log(_MISMATCH_ODDS)),
    )


def _rate(events: Sequence[Events], trials: Sequence[Pair], variant: str) -> str:
    happened = sum(getattr(event, variant) for event in events)
    among = sum(getattr(pair, variant) for pair in trials)
    return f"{happened:,} of {among:,} ({happened / max(among, 1):.2%})"


def _estimate(counts: Counts) -> float:
    """The ratio under which the candidate's events are as many as came: one root, found by bisection."""
    candidate, both, shares = counts.candidate.sum(), counts.both, counts.shares
    informative = (shares > 0) & (shares < 1)
    both, shares = both[informative], shares[informative]
    candidate = counts.candidate[informative].sum()
    if not both.sum() or candidate in (0, both.sum()):
        return 0.0 if both.sum() and not candidate else float("nan")
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        expected = (both * shares / (shares + (1 - shares) * np.exp(-middle))).sum()
        low, high = (middle, high) if expected < candidate else (low, middle)
    return float(np.exp(low))


def _interval(counts: Counts) -> tuple[float, float]:
    """The ratios that are not shown to be too low or too high, each side at half of 5 %."""
    too_low = _RATIOS[log_ratio_above(*counts.drawn, _RATIOS) >= _INTERVAL]
    too_high = _RATIOS[log_ratio_below(*counts.drawn, _RATIOS) >= _INTERVAL]
    return too_low.max(initial=0.0), too_high.min(initial=np.inf)
