"""Apply the statistics of a rollout to counts that a client sends. Pure."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from serve.base.record import Record
from serve.rollout.evidence.evidence import Events, Evidence, Pair, Segment
from serve.rollout.judging.counts import counts_of
from serve.rollout.judging.guard_figure import Figure, with_thresholds
from serve.rollout.judging.guards import watch, watch_split
from serve.rollout.state.policy import Confidence, ErrorGuard, QuantileGuard

_Count = Annotated[int, Field(ge=0, le=1_000_000)]
# For the baseline, then for the candidate: requests, failed ones, and ones over the limit.
Tick = tuple[_Count, _Count, _Count, _Count, _Count, _Count]


class Weighing(Record):
    """The counts to compare."""

    # The candidate's share of the requests. Each request must have been assigned at random.
    share: Annotated[float, Field(ge=0.001, le=0.999)]
    errors: ErrorGuard = ErrorGuard()
    latency: QuantileGuard = QuantileGuard()
    # How sure "shown to be safe" must be.
    proof: Confidence = 0.95
    # One entry per second: [baseline requests, errors, over the limit, candidate requests, errors, over the
    # limit]. The entries show whether events come in bursts.
    ticks: Annotated[tuple[Tick, ...], Field(max_length=100_000)]

    @model_validator(mode="after")
    def _plausible(self) -> Self:
        for place, (a, a_errors, a_over, b, b_errors, b_over) in enumerate(self.ticks):
            if max(a_errors, a_over) > a or max(b_errors, b_over) > b:
                raise ValueError(
                    f"ticks.{place}: {list(self.ticks[place])} has more errors, or more over the limit, than "
                    "requests; give [requests, errors, over the limit] for the baseline, then for the "
                    "candidate"
                )
        return self


class Weighed(Record):
    """The figures `errors`, `latency` and `split`. If `split` is harmful, the others are not valid."""

    figures: tuple[Figure, ...]


def weigh(weighing: Weighing) -> Weighed:
    """The figures of a rollout that had these guards and these counts."""
    ticks = weighing.ticks
    segment = Segment(
        step=1,
        split=weighing.share,
        started_s=0,
        ended_s=len(ticks),
        requests=Pair(baseline=sum(tick[0] for tick in ticks), candidate=sum(tick[3] for tick in ticks)),
        errors=Events.ticks([(tick[1], tick[4]) for tick in ticks]),
        over_limit=Events.ticks([(tick[2], tick[5]) for tick in ticks]),
    )
    evidence = Evidence(segments=(segment,))
    watched = (("errors", weighing.errors, "errors"), ("latency", weighing.latency, "over_limit"))
    figures = [
        (watch(name, guard, [segment], kind, counts_of(evidence, kind, 0.0)), guard.confidence)
        for name, guard, kind in watched
    ]
    return Weighed(figures=(*with_thresholds(figures, weighing.proof), watch_split([segment])))
