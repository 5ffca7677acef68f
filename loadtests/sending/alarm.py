"""Alarm: wakes a greenlet at each moment of a schedule, to a tenth of a millisecond.

The event loop's own timers are rounded up to whole milliseconds, more than a small model takes. A thread
sleeps by the system's clock instead, and rings."""

import time
from collections.abc import Iterable
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event

_start_thread: Any = monkey.get_original("_thread", "start_new_thread")
_sleep: Any = monkey.get_original("time", "sleep")
# How soon the thread notices that nobody waits any more.
_LONGEST_S = 0.25


class Alarm:
    """Rings at these moments of time.perf_counter, in order; used by one greenlet."""

    def __init__(self, moments: Iterable[float]) -> None:
        self._rung = Event()
        self._stopped = False
        self._bell = gevent.get_hub().loop.async_()
        self._bell.start(self._rung.set)
        _start_thread(self._ring, (iter(moments),))

    def sleep_until(self, moment: float) -> None:
        """Return at `moment`, one of those given, or at once when it is over."""
        while (delay_s := moment - time.perf_counter()) > 0:
            self._rung.clear()
            # The loop's own timer is the second bell, should the first have rung for an earlier moment.
            self._rung.wait(delay_s)

    def stop(self) -> None:
        """Ring no more."""
        self._stopped = True
        self._bell.stop()

    def _ring(self, moments: Iterable[float]) -> None:
        for moment in moments:
            while not self._stopped and (delay_s := moment - time.perf_counter()) > 0:
                _sleep(min(delay_s, _LONGEST_S))
            if self._stopped:
                return
            self._bell.send()
