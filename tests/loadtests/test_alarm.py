"""The alarm is tested in a process that is patched as locust patches it."""

from typing import Any

import pytest

from tests.loadtests.command import run_python

_SCRIPT = """
from gevent import monkey
monkey.patch_all()
import json, time
import gevent, psutil
from loadtests.alarm import Alarm

def count_threads():
    return psutil.Process().num_threads()

start = time.perf_counter() + 0.1
moments = [start + 0.0137 * number for number in range(100)]
alarm = Alarm(moments)
late_ms = []
for moment in moments:
    alarm.sleep_until(moment)
    late_ms.append((time.perf_counter() - moment) * 1000)
began = time.perf_counter()
alarm.sleep_until(moments[0])
over_s = time.perf_counter() - began
alarm.stop()

def await_threads(count):
    deadline = time.perf_counter() + 20
    while count_threads() != count and time.perf_counter() < deadline:
        gevent.sleep(0.05)
    return count_threads()

# The first alarm's thread has rung for the last time, but may not have ended.
gevent.sleep(1)
idle = count_threads()
stopped = Alarm([time.perf_counter() + 60])
ringing = await_threads(idle + 1)
stopped.stop()
print(json.dumps({"late_ms": sorted(late_ms), "over_s": over_s,
                  "threads": [ringing - idle, await_threads(idle) - idle]}))
"""


@pytest.fixture(scope="module")
def heard() -> Any:
    return run_python(_SCRIPT)


def test_it_rings_when_it_is_time(heard: Any) -> None:
    """Never before its moment, and half of the times within 5 ms of it, on a machine that others share."""
    assert heard["late_ms"][0] >= 0
    assert heard["late_ms"][50] < 5


def test_a_moment_that_is_over_is_not_waited_for(heard: Any) -> None:
    """Who is late shall not be later."""
    assert heard["over_s"] < 0.05


def test_a_stopped_alarm_leaves_no_thread(heard: Any) -> None:
    """Also when it was to ring in a minute only."""
    assert heard["threads"] == [1, 0]
