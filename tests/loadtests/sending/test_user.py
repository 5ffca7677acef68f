"""The user is tested through the command, in a process of its own: locust patches the process."""

import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from loadtests.load_plan import LoadPlan, steady
from loadtests.report import LoadReport
from loadtests.sending.arrivals import make_schedule
from tests.loadtests.fake_server import FakeServer, Infer, answer_rightly, open_server
from tests.loadtests.loadtest_process import run_loadtest

_PLAN = LoadPlan(url="http://host", model="digits", profile=steady(100, 1), warmup_s=0, seed=5)
_ROWS = np.arange(12, dtype=np.float32).reshape(3, 2, 2)


def _run(url: str, folder: Path, *more: str) -> LoadReport:
    """The report of the plan's load."""
    path = folder / "report.json"
    options = ["--rate", "100", "--duration", "1", "--warmup", "0", "--seed", "5", "--json", str(path)]
    finished = run_loadtest("run", url, "--model", "digits", *options, *more)
    assert finished.code in {0, 1, 3}, finished.err
    return LoadReport.model_validate_json(path.read_text())


Sent = tuple[FakeServer, LoadReport, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """The server with the bodies it got, the report and the raw records of a run."""
    folder = tmp_path_factory.mktemp("sent")
    np.savez(folder / "rows.npz", image=_ROWS)
    options = ["--inputs", str(folder / "rows.npz"), "--records", str(folder / "records.jsonl")]
    with open_server() as server:
        report = _run(server.url, folder, *options)
        lines = (folder / "records.jsonl").read_text().splitlines()
        yield server, report, [json.loads(line) for line in lines]


def test_every_arrival_of_the_schedule_is_sent(sent: Sent) -> None:
    """The server gets each arrival of the seed's schedule once."""
    server, report, _ = sent
    expected = len(make_schedule(_PLAN, 3))
    assert report.requests == expected == len(server.bodies) == len({body["id"] for body in server.bodies})
    assert report.errors == 0


def test_each_input_is_the_one_that_was_drawn(sent: Sent) -> None:
    """Each input is the row of the file that the schedule draws for its id."""
    server, _, _ = sent
    drawn = make_schedule(_PLAN, 3).payload
    assert {body["inputs"][0]["name"] for body in server.bodies} == {"image"}
    for body in server.bodies:
        assert body["inputs"][0]["data"] == _ROWS[drawn[int(body["id"])]].ravel().tolist()


def test_records_hold_every_request(sent: Sent) -> None:
    """The records have each request of the schedule and give the report's p50."""
    _, report, records = sent
    assert [record["intended_s"] for record in records] == pytest.approx(make_schedule(_PLAN, 3).at_s)
    assert {(record["pinned"], record["variant"], record["error"]) for record in records} == {
        (None, "fp32", None)
    }
    assert all(record["intended_s"] <= record["sent_s"] <= record["done_s"] for record in records)
    latencies = sorted((record["done_s"] - record["intended_s"]) * 1000 for record in records)
    p50_ms = report.variants["fp32"].p50_ms
    assert p50_ms is not None
    assert p50_ms.value == pytest.approx(latencies[(len(latencies) + 1) // 2 - 1])


def test_what_the_server_does_not_tell_is_noted(sent: Sent) -> None:
    """Without CPU time in the metrics there is no cost, and a note says so."""
    _, report, _ = sent
    assert report.variants["fp32"].cost is None
    assert report.notes == ("no cost: the server's /metrics does not report the CPU time of its processes",)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> LoadReport:
    """The report of a server that answers wrongly in each way in turn, all requests pinned to int8."""

    def leave_out_outputs(request: Request, body: dict[str, Any]) -> Response:
        return JSONResponse(json.loads(bytes(answer_rightly(request, body).body)) | {"outputs": []})

    def ignore_the_pin(request: Request, body: dict[str, Any]) -> Response:
        request.scope["path_params"] = {}
        return answer_rightly(request, body)

    answers: Iterator[Infer] = cycle(
        [
            leave_out_outputs,
            ignore_the_pin,
            lambda *_: JSONResponse({"error": "overloaded"}, 503),
            lambda *_: Response("moved", 302, headers={"location": "/v2"}),
            lambda *_: Response("x", headers={"content-encoding": "odd"}),
            answer_rightly,
        ]
    )

    def answer(request: Request, body: dict[str, Any]) -> Response:
        return next(answers)(request, body)

    with open_server(answer) as server:
        return _run(server.url, tmp_path_factory.mktemp("faulty"), "--pin", "int8")


def test_each_fault_is_counted_with_its_cause(faulty: LoadReport) -> None:
    """Each kind of wrong answer is counted as a sixth of the requests, with its cause."""
    assert set(faulty.errors_by_cause) == {
        "outputs are [], expected ['scores']",
        "model_version is 'fp32', but 'int8' was pinned",
        "HTTP 503: overloaded",
        "HTTP 302: moved",
        "ValueError: Unknown content encoding: odd",
    }
    assert all(abs(count - faulty.requests / 6) <= 1 for count in faulty.errors_by_cause.values())


def test_faults_are_the_pinned_variants(faulty: LoadReport) -> None:
    """Errors count for the pinned variant, even if another one answered."""
    assert list(faulty.variants) == ["int8"]
    int8 = faulty.variants["int8"]
    assert (int8.requests, int8.errors) == (faulty.requests, sum(faulty.errors_by_cause.values()))
    assert faulty.verdict.outcome != "PASS"


@pytest.mark.parametrize("listed", [True, False])
def test_a_variant_that_was_loaded_meanwhile_is_no_error(tmp_path: Path, listed: bool) -> None:
    """Answers of a newly loaded variant are correct if the server lists it, and errors otherwise."""

    def answer(request: Request, body: dict[str, Any]) -> Response:
        if listed and "slim" not in server.versions:
            server.versions.append("slim")
        content = json.loads(bytes(answer_rightly(request, body).body))
        return JSONResponse(content | {"model_version": "slim"})

    with open_server(answer) as server:
        report = _run(server.url, tmp_path)
    assert (report.errors == 0, "slim" in report.variants) == (listed, listed)
    assert ("slim was loaded during the run, and is not judged on its own" in report.notes) == listed
