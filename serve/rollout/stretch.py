"""Stretch: half a minute of the candidate's requests."""

from typing import Annotated

from pydantic import Field

from serve.record import Record

# Shorter disturbances, such as the restart of a host, fall into one or two of them.
STRETCH_S = 30.0
# What is older than an hour is forgotten.
_MOST = 120

_Sum = Annotated[int, Field(ge=0)]


class Stretch(Record):
    """What happened in it; times are seconds since 1970."""

    started_s: float
    ended_s: float
    requests: _Sum
    errors: _Sum
    # Requests whose time was taken, and those among them that were over the latency limit.
    timed: _Sum
    over_limit: _Sum

    @property
    def whole(self) -> bool:
        """Whether nothing is added to it any more."""
        return self.ended_s - self.started_s >= STRETCH_S


def extended(stretches: tuple[Stretch, ...], tick: Stretch) -> tuple[Stretch, ...]:
    """`stretches` with one tick more, which goes to the last of them until that is whole."""
    if not stretches or tick.started_s - stretches[-1].started_s >= STRETCH_S:
        return (*stretches, tick)[-_MOST:]
    last = stretches[-1]
    sums = ("requests", "errors", "timed", "over_limit")
    update: dict[str, float] = {name: getattr(last, name) + getattr(tick, name) for name in sums}
    update["ended_s"] = max(last.ended_s, tick.ended_s)
    return (*stretches[:-1], last.model_copy(update=update))
