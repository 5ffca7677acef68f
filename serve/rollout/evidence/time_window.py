"""Half-minute windows of the candidate's requests."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from serve.base.record import Record

# Short disturbances, such as the restart of a process, fall into one or two windows.
WINDOW_S = 30.0
# Windows older than an hour are dropped.
_MOST = 120
_SUMS = ("requests", "errors", "timed", "over_limit")

_Sum = Annotated[int, Field(ge=0)]


class TimeWindow(Record):
    """The counts of a window outside of stalls; times are seconds since 1970."""

    started_s: float
    ended_s: float
    requests: _Sum
    errors: _Sum
    # Requests with a measured time, and the ones among them over the latency limit.
    timed: _Sum
    over_limit: _Sum

    @property
    def whole(self) -> bool:
        """Whether the window is complete."""
        return self.ended_s - self.started_s >= WINDOW_S


def extended(
    windows: tuple[TimeWindow, ...], span: tuple[float, float], gained: Mapping[str, int]
) -> tuple[TimeWindow, ...]:
    """Add the counts of a tick from `span[0]` to `span[1]` to the last window, or begin a new one when that
    is complete. A gain may be negative, because stalls are subtracted when they are recognized."""
    if not windows or span[0] - windows[-1].started_s >= WINDOW_S:
        new = {name: max(gained[name], 0) for name in _SUMS}
        return (*windows, TimeWindow(started_s=span[0], ended_s=span[1], **new))[-_MOST:]
    last = windows[-1]
    update: dict[str, float] = {name: max(getattr(last, name) + gained[name], 0) for name in _SUMS}
    update["ended_s"] = max(last.ended_s, span[1])
    return (*windows[:-1], last.model_copy(update=update))
