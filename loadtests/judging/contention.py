"""Contention: whether other programs of this machine kept the load generator from its core."""

import os
from pathlib import Path
from time import monotonic
from typing import Annotated

from pydantic import Field

from serve.base.record import Record

# Of the thread that sends: nanoseconds that it ran, and that it stood in the run queue.
_SCHEDULED = Path("/proc/self/schedstat")
# What the sender may wait for a core before its figures show it.
QUEUED = 0.02


class Contention(Record):
    """Who else wanted the CPU of the machine that the load came from."""

    # Programs that ran or were ready to, on average over the last minute; None: the system does not tell.
    load_average: float | None
    # Share of the time in which the sender stood in the run queue: ready, and without a core.
    queued: Annotated[float, Field(ge=0, le=1)] | None


class ContentionClock:
    """What other programs took since it was made."""

    def __init__(self) -> None:
        self._began_s = monotonic()
        self._queued_s = _read_queued_s()

    def read(self) -> Contention:
        """As of now."""
        elapsed_s, queued_s = monotonic() - self._began_s, _read_queued_s()
        queued = None
        if queued_s is not None and self._queued_s is not None and elapsed_s > 0:
            queued = max(0.0, min(1.0, (queued_s - self._queued_s) / elapsed_s))
        return Contention(load_average=_read_load_average(), queued=queued)


def count_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_contended(contention: Contention | None, cores: int) -> bool:
    """Whether a late sender may be the fault of other programs; None: nobody knows."""
    if contention is None:
        return False
    if contention.queued is not None:
        return contention.queued > QUEUED
    return contention.load_average is not None and contention.load_average > cores


def tell(contention: Contention, cores: int) -> str:
    """It in words."""
    parts = []
    if contention.load_average is not None:
        parts.append(f"the load average was {contention.load_average:.1f} on {cores} cores")
    if contention.queued is not None:
        parts.append(f"the sender stood in the run queue for {contention.queued:.0%} of the time")
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
