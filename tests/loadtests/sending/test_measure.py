import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from loadtests.load_plan import LoadPlan, steady
from loadtests.sending.arrivals import make_schedule
from loadtests.sending.samples import UNANSWERED
from tests.loadtests.known_server import MODEL, STALL_S, Behaviour, open_known
from tests.loadtests.loadtest_process import ROOT

_STALL_AT = 130


@pytest.fixture(scope="module")
def measured() -> Any:
    """What tests.loadtests.measure_known_server found of a server with these variants."""
    behaviours = {
        "stall": Behaviour(stall_at=_STALL_AT),
        "slow": Behaviour(service_ms=400),
        "hangs": Behaviour(service_ms=5000),
        "quick": Behaviour(),
    }
    with open_known(**behaviours) as url:
        finished = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tests.loadtests.measure_known_server", url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def _times(duration_s: float) -> NDArray[np.float64]:
    profile = steady(100, duration_s)
    return make_schedule(LoadPlan(url="http://host", model=MODEL, profile=profile, warmup_s=0.3), 1).at_s


def _latency_s(found: Any) -> NDArray[np.float64]:
    latency_s: NDArray[np.float64] = np.array(found["done_s"]) - np.array(found["intended_s"])
    return latency_s


def _most_in_flight(found: Any) -> int:
    opened, closed = np.sort(found["sent_s"]), np.sort(found["done_s"])
    return int((np.arange(1, len(opened) + 1) - np.searchsorted(closed, opened)).max())


@pytest.mark.parametrize(("variant", "duration_s"), [("stall", 3), ("slow", 2), ("hangs", 0.5)])
def test_every_arrival_is_recorded_once(measured: Any, variant: str, duration_s: float) -> None:
    """Each arrival is recorded once at its scheduled time, warm-up included."""
    assert measured[variant]["intended_s"] == pytest.approx(_times(duration_s))


def test_nothing_is_sent_before_its_time(measured: Any) -> None:
    """No request is sent before its scheduled time or answered before it was sent."""
    for found in measured.values():
        assert np.all(np.array(found["sent_s"]) >= np.array(found["intended_s"]))
        assert np.all(np.array(found["done_s"]) >= np.array(found["sent_s"]))


def test_a_stall_is_waited_for_by_all_who_came(measured: Any) -> None:
    """Requests that arrive during a stall are sent on time and wait for its end.

    The request that stalls the server is the 130th; up to ten may overtake one another. Requests after the
    140th and within 0.6 s of the 120th wait at least 0.4 s. A closed loop of one user would have one slow
    request."""
    found, at_s = measured["stall"], _times(3)
    came = (at_s > at_s[_STALL_AT + 9]) & (at_s < at_s[_STALL_AT - 11] + 0.6)
    assert came.sum() > 20
    assert np.all(_latency_s(found)[came] >= STALL_S - 0.6)
    assert found["errors"] == []


def test_slow_answers_do_not_slow_the_sender(measured: Any) -> None:
    """100 requests a second that take 0.4 s each are sent on time, with more than 20 in flight."""
    latency_s = _latency_s(measured["slow"])
    assert latency_s.min() >= 0.4
    assert _most_in_flight(measured["slow"]) > 20


def test_what_is_unanswered_at_the_end_has_failed(measured: Any) -> None:
    """Requests without an answer at the end of the drain are errors with the whole waiting time."""
    found = measured["hangs"]
    assert found["errors"] == [UNANSWERED] * len(found["intended_s"])
    assert len(set(found["done_s"])) == 1
    assert found["done_s"][0] >= found["sent_until_s"] + 0.4
    assert found["complete"]


def test_a_run_ends_when_it_is_enough(measured: Any) -> None:
    """A run ends when its rule says so, and the open requests are awaited."""
    found = measured["enough"]
    assert found["complete"]
    assert 0.4 < found["sent_until_s"] < 30
    assert len(found["intended_s"]) < 3000
    assert found["errors"] == []
