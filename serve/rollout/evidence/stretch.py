"""Stretch: half a minute of the candidate's requests."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from serve.base.record import Record

# Shorter disturbances, such as the restart of a host, fall into one or two of them.
STRETCH_S = 30.0
# What is older than an hour is forgotten.
_MOST = 120
_SUMS = ("requests", "errors", "timed", "over_limit")

_Sum = Annotated[int, Field(ge=0)]


class Stretch(Record):
    """What happened in it outside of stalls; times are seconds since 1970."""

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


def extended(
    stretches: tuple[Stretch, ...], span: tuple[float, float], gained: Mapping[str, int]
) -> tuple[Stretch, ...]:
    """`stretches` with what came in a tick from `span[0]` to `span[1]`, which goes to the last of them until
    that is whole. Of its sums some may have become less: what turned out to be a stall is taken back."""
    if not stretches or span[0] - stretches[-1].started_s >= STRETCH_S:
        new = {name: max(gained[name], 0) for name in _SUMS}
        return (*stretches, Stretch(started_s=span[0], ended_s=span[1], **new))[-_MOST:]
    last = stretches[-1]
    update: dict[str, float] = {name: max(getattr(last, name) + gained[name], 0) for name in _SUMS}
    update["ended_s"] = max(last.ended_s, span[1])
    return (*stretches[:-1], last.model_copy(update=update))
