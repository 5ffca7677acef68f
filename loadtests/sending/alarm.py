"""Wakes a greenlet at each moment of a schedule, accurate to a tenth of a millisecond.

The event loop rounds its timers up to whole milliseconds, which is more than a small model takes. Here a
thread sleeps on the system's clock and wakes the greenlet."""

import time
from collections.abc import Iterable
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event

_start_thread: Any = monkey.get_original("_thread", "start_new_thread")
_sleep: Any = monkey.get_original("time", "sleep")
# How soon the thread notices that it is no longer needed.
_LONGEST_S = 0.25


class Alarm:
    """Wakes at these moments of time.perf_counter, in order; used by one greenlet."""

    def __init__(self, moments: Iterable[float]) -> None:
        self._rung = Event()
        self._stopped = False
        self._bell = gevent.get_hub().loop.async_()
        self._bell.start(self._rung.set)
        _start_thread(self._ring, (iter(moments),))

    def sleep_until(self, moment: float) -> None:
        """Return at `moment`, which must be one of the given moments, or at once if it has passed."""
        while (delay_s := moment - time.perf_counter()) > 0:
            self._rung.clear()
            # If the alarm rang for an earlier moment, the loop's own timer ends the wait.
            self._rung.wait(delay_s)

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped = True
        self._bell.stop()

    def _ring(self, moments: Iterable[float]) -> None:
        for moment in moments:
            while not self._stopped and (delay_s := moment - time.perf_counter()) > 0:
                _sleep(min(delay_s, _LONGEST_S))
            if self._stopped:
                return
            self._bell.send()
