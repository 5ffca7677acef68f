import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from loadtests.load_plan import make_plan, steady
from loadtests.sending.arrivals import make_schedule
from loadtests.sending.client import Client
from tests.loadtests.known_server import MODEL, Behaviour, open_known

# A load may end up to a second later than its report says; it sends this many requests in a second.
LATE = 60
VERDICTS = {"PASS": 0, "FAIL": 1, "INVALID": 3}


def _read(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def _arrivals(until_s: float) -> int:
    """How many requests the schedule of one sender has until then."""
    plan = make_plan(url="http://host", model=MODEL, profile=steady(60, 60), warmup_s=0)
    return int((make_schedule(plan, payloads=64).at_s < until_s).sum())


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def test_two_workers_send_the_schedule_of_one(start_locust: Any, options: Any, tmp_path: Path) -> None:
    """Two workers together send more than half of the schedule and at most all of it. The exit code is that
    of the verdict."""
    port = _free_port()
    ports = ("--master-bind-port", port, "--master-port", port)
    with open_known(a=Behaviour(), b=Behaviour()) as url:
        locust = start_locust(url, *options, "--headless", "-t", "6s", "--processes", "2", *ports)
        said, _ = locust.communicate(timeout=200)
    report = _read(tmp_path)
    assert report["complete"], said
    arrivals = _arrivals(report["plan"]["profile"][-1][0])
    assert arrivals / 2 < report["requests"] <= arrivals + LATE
    assert set(report["variants"]) == {"a", "b"}
    assert locust.returncode == VERDICTS[report["verdict"]["outcome"]]


def test_ctrl_c_leaves_a_report(start_locust: Any, options: Any, tmp_path: Path) -> None:
    """Ctrl-C ends an endless load with a report, after the open requests are answered."""
    with open_known(only=Behaviour(service_ms=500)) as url:
        locust = start_locust(url, *options, "--headless")
        _await_requests(url, locust)
        locust.send_signal(signal.SIGINT)
        said, _ = locust.communicate(timeout=200)
    report = _read(tmp_path)
    assert report["errors"] == 0, said
    assert 50 <= report["requests"] <= _arrivals(report["plan"]["profile"][-1][0]) + LATE
    assert locust.returncode == VERDICTS[report["verdict"]["outcome"]]


def test_a_worker_that_dies_makes_the_report_invalid(start_locust: Any, options: Any, tmp_path: Path) -> None:
    """The report is INVALID and incomplete if one of two workers dies."""
    port = _free_port()
    master = ("--headless", "-t", "10s", "--master", "--expect-workers", "2", "--master-bind-port", port)
    with open_known(only=Behaviour()) as url:
        locust = start_locust(url, *options, *master)
        doomed, _ = [start_locust(url, "--worker", "--master-port", port) for _ in range(2)]
        _await_requests(url, locust)
        doomed.kill()
        said, _ = locust.communicate(timeout=200)
    report = _read(tmp_path)
    assert "senders: 1 of 2 reported" in "".join(report["verdict"]["reasons"]), said
    assert report["complete"] is False
    assert locust.returncode == VERDICTS["INVALID"]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (("--model", "other"), "answered 404: there is nothing at /v2/models/other"),
        (("--pin", "onyl"), "did you mean 'only'?"),
        (("--set", "p99=50"), "its unit is missing: write p99_ms"),
        (("--report", "/missing/report.json"), "there is no folder /missing"),
    ],
    ids=["model", "pin", "limit", "report"],
)
def test_what_cannot_be_done_is_refused(
    start_locust: Any, options: Any, changed: Any, complaint: str
) -> None:
    """Bad options are refused with exit code 2 before a request is sent."""
    with open_known(only=Behaviour()) as url:
        locust = start_locust(url, *options, *changed, "--headless", "-t", "20s")
        said, _ = locust.communicate(timeout=200)
        assert _requests(url) == 0
    assert complaint in said
    assert "Traceback" not in said
    assert locust.returncode == 2


def _await_requests(url: str, locust: Any) -> None:
    """Return when 50 requests were taken."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and locust.poll() is None:
        if _requests(url) >= 50:
            return
        time.sleep(0.1)
    pytest.fail("no 50 requests came within two minutes")


def _requests(url: str) -> float:
    lines = Client(url=url).text("/metrics").splitlines()
    counted = [line for line in lines if line.startswith("counterweight_requests_total")]
    return sum(float(line.split()[-1]) for line in counted)
