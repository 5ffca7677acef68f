"""Measures whether other programs on this machine used the load generator's core."""

import os
from pathlib import Path
from time import monotonic
from typing import Annotated

from pydantic import Field

from serve.base.record import Record

# Nanoseconds that the sending thread ran, and that it waited in the run queue.
_SCHEDULED = Path("/proc/self/schedstat")
# Share of the time that the sender may wait for a core before the measured latency shows it.
QUEUED = 0.02


class Contention(Record):
    """Which other load there was on the machine that sent the requests."""

    # Average number of running or runnable programs in the last minute; None if the system does not report
    # it.
    load_average: float | None
    # Share of the time in which the sender waited in the run queue, ready but without a core.
    queued: Annotated[float, Field(ge=0, le=1)] | None


class ContentionClock:
    """Measures what other programs used since the clock was created."""

    def __init__(self) -> None:
        self._began_s = monotonic()
        self._queued_s = _read_queued_s()

    def read(self) -> Contention:
        """Return the contention up to now."""
        elapsed_s, queued_s = monotonic() - self._began_s, _read_queued_s()
        queued = None
        if queued_s is not None and self._queued_s is not None and elapsed_s > 0:
            queued = max(0.0, min(1.0, (queued_s - self._queued_s) / elapsed_s))
        return Contention(load_average=_read_load_average(), queued=queued)


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_contended(contention: Contention | None, cores: int) -> bool:
    """Return whether other programs may explain a late sender; None if it is not known."""
    if contention is None:
        return False
    if contention.queued is not None:
        return contention.queued > QUEUED
    return contention.load_average is not None and contention.load_average > cores


def describe_contention(contention: Contention, cores: int) -> str:
    """Describe the contention in words."""
    parts = []
    if contention.load_average is not None:
        parts.append(f"the load average was {contention.load_average:.1f} on {cores} cores")
    if contention.queued is not None:
        parts.append(f"the sender waited in the run queue for {contention.queued:.0%} of the time")
    return " and ".join(parts)


def _read_queued_s() -> float | None:
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def _read_load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
