"""The alarm is tested in a process that is patched as locust patches it."""

from typing import Any

import pytest

from tests.loadtests.loadtest_process import run_python

_SCRIPT = """
from gevent import monkey
monkey.patch_all()
import json, time
import gevent, psutil
plain_sleep = monkey.get_original("time", "sleep")
from loadtests.sending.alarm import Alarm

def count_threads():
    return psutil.Process().num_threads()

start = time.perf_counter() + 0.1
moments = [start + 0.0137 * number for number in range(100)]
alarm = Alarm(moments)
late_ms, plainly_late_ms = [], []
for number, moment in enumerate(moments):
    # By turns, so that a machine that is busy meanwhile is so to both.
    if number % 2:
        alarm.sleep_until(moment)
    else:
        plain_sleep(max(moment - time.perf_counter(), 0))
    (late_ms if number % 2 else plainly_late_ms).append((time.perf_counter() - moment) * 1000)
began = time.perf_counter()
alarm.sleep_until(moments[0])
over_s = time.perf_counter() - began
alarm.stop()

def await_threads(count):
    deadline = time.perf_counter() + 120
    while count_threads() != count and time.perf_counter() < deadline:
        gevent.sleep(0.05)
    return count_threads()

# The first alarm's thread has rung for the last time, but may not have ended.
gevent.sleep(1)
idle = count_threads()
stopped = Alarm([time.perf_counter() + 60])
ringing = await_threads(idle + 1)
stopped.stop()
print(json.dumps({"late_ms": sorted(late_ms), "plainly_late_ms": sorted(plainly_late_ms), "over_s": over_s,
                  "threads": [ringing - idle, await_threads(idle) - idle]}))
"""


@pytest.fixture(scope="module")
def heard() -> Any:
    return run_python(_SCRIPT)


def test_it_rings_when_it_is_time(heard: Any) -> None:
    """The alarm never rings early, and half of the time at most 5 ms late, or ten times as late as a sleeping
    thread."""
    assert heard["late_ms"][0] >= 0
    assert heard["late_ms"][25] < max(5, 10 * heard["plainly_late_ms"][25])


def test_a_moment_that_is_over_is_not_waited_for(heard: Any) -> None:
    """A time in the past returns at once."""
    assert heard["over_s"] < 60


def test_a_stopped_alarm_leaves_no_thread(heard: Any) -> None:
    """A stopped alarm leaves no thread, even if it would ring in a minute."""
    assert heard["threads"] == [1, 0]
