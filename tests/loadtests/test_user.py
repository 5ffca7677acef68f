"""The user is tested through the command, in a process of its own: locust patches the process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.responses import JSONResponse, Response

from loadtests.arrivals import make_schedule


def _run(loadtest: Any, url: str, *more: str, rate: float = 100, duration: float = 1) -> Any:
    return loadtest(
        url, "--model", "digits", "--json", "--rate", f"{rate}", "--duration", f"{duration}", *more
    )


def test_every_arrival_of_the_schedule_is_sent(serve: Any, loadtest: Any) -> None:
    """As many requests reach the server as the seed's schedule has arrivals, none of them twice."""
    server = serve()
    report = _run(loadtest, server.url, "--seed", "5").report
    expected = make_schedule(rate_per_s=100, duration_s=1, pinned=(), payloads=64, seed=5)
    assert report["requests"] == len(expected) == len({body["id"] for body in server.bodies})
    assert report["errors"] == 0


def test_inputs_are_valid_and_differ(serve: Any, loadtest: Any) -> None:
    """The server gets what its metadata asks for, and not the same row over and over."""
    server = serve()
    _run(loadtest, server.url, duration=0.3)
    tensors = [body["inputs"][0] for body in server.bodies]
    assert {(tensor["name"], tensor["datatype"], *tensor["shape"]) for tensor in tensors} == {
        ("image", "FP32", 1, 2, 2)
    }
    assert len({tuple(tensor["data"]) for tensor in tensors}) > 1


def test_a_wrong_body_is_an_error(serve: Any, loadtest: Any, right_answer: Any) -> None:
    """A status of 200 with a wrong body counts as failed, each time."""

    def infer(request: Any, body: Any) -> Response:
        return JSONResponse(json.loads(right_answer(request, body).body) | {"outputs": []})

    finished = _run(loadtest, serve(infer).url, duration=0.3)
    assert finished.code == 1
    assert finished.report["errors_by_cause"] == {
        "outputs are [], expected ['scores']": finished.report["requests"]
    }
    assert finished.report["variants"]["unknown"]["errors"] == finished.report["requests"] > 0


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (JSONResponse({"error": "overloaded"}, 503), "HTTP 503: overloaded"),
        (Response("moved", 302, headers={"location": "/v2"}), "HTTP 302: moved"),
        (Response("x", headers={"content-encoding": "odd"}), "ValueError: Unknown content encoding: odd"),
    ],
    ids=["503", "redirect", "encoding"],
)
def test_whatever_goes_wrong_with_an_answer_is_its_error(
    serve: Any, loadtest: Any, answer: Response, cause: str
) -> None:
    """Errors, redirects and unreadable answers are counted with their cause, and the run goes on."""
    report = _run(loadtest, serve(lambda request, body: answer).url, duration=0.3).report
    assert report["errors_by_cause"] == {cause: report["requests"]}


def test_another_variant_than_the_pinned_one_is_an_error(
    serve: Any, loadtest: Any, right_answer: Any
) -> None:
    """Where the server ignores the pin, the pinned variant's row shows it."""

    def infer(request: Any, body: Any) -> Response:
        request.scope["path_params"] = {}
        return Response(right_answer(request, body).body)

    report = _run(loadtest, serve(infer).url, "--pin", "int8", duration=0.3).report
    assert report["variants"]["int8"]["errors"] == report["requests"] > 0
    assert list(report["errors_by_cause"]) == ["model_version is 'fp32', but 'int8' was pinned"]


def test_a_stall_shows_in_the_tail(serve: Any, loadtest: Any) -> None:
    """While the server stands still for 1 s the schedule goes on, and everyone who came then has waited.

    The bound is computed: request k stalls the server, not before its own intended time, so request j behind
    it waits at least until at_k + 1 s. The p99 of these waits is the bound; the first three behind k may have
    overtaken it on the way, so they count as 0. A closed loop of one user would have one slow request."""
    server = serve(stall_at=50)
    report = _run(loadtest, server.url, rate=50, duration=3).report
    schedule = make_schedule(rate_per_s=50, duration_s=3, pinned=(), payloads=64, seed=0)
    stalled = int(server.bodies[49]["id"])
    waits = [
        max(0.0, schedule[stalled].at_s + 1 - arrival.at_s) * (index > stalled + 3)
        for index, arrival in enumerate(schedule)
    ]
    bound_ms = 1000 * np.quantile(waits, 0.99, method="inverted_cdf")
    assert bound_ms > 500
    assert report["errors"] == 0
    assert report["variants"]["fp32"]["p99_ms"] >= bound_ms


def test_slow_answers_do_not_slow_the_sender(serve: Any, loadtest: Any) -> None:
    """100 requests a second that take 0.4 s each are 40 at once, and all of them are let out.

    Were only 10 let out at once (Locust's default), 25 a second would pass: of 200 requests sent over 2 s the
    median one would wait for 100 / 25 - 1 = 3 s. A third of that leaves room for a slow machine."""
    report = _run(loadtest, serve(delay_s=0.4).url, duration=2).report
    assert 400 <= report["variants"]["fp32"]["p50_ms"] < 1000


def test_what_is_unanswered_at_the_end_has_failed(serve: Any) -> None:
    """Requests still out after the drain are counted as failed, not dropped; the drain is bounded."""
    script = (
        "import sys, loadtests.run; loadtests.run.DRAIN_S = 0.5;"
        "from loadtests.cli import loadtest; sys.exit(loadtest(sys.argv[1:]))"
    )
    arguments = ["run", serve(delay_s=3).url, "--model", "digits", "--rate", "50", "--duration", "0.5"]
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    sent = len(make_schedule(rate_per_s=50, duration_s=0.5, pinned=(), payloads=64, seed=0))
    assert f"error: {sent} x no answer by the end of the run" in finished.stdout
    assert finished.returncode == 1
