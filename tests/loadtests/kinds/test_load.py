"""The load tester against a known server: its figures must be within the bounds of tests/loadtests/bounds.py.

A machine may be too busy for a verdict, so these tests check figures and no verdict that depends on the
machine."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from loadtests.candidate_comparison import CandidateComparison, Ratio
from loadtests.report import LoadReport
from loadtests.variant_report import Interval
from serve.rollout.judging.weigh import Weighing, weigh
from tests.loadtests.bounds import (
    SLACK_MS,
    Bounds,
    arrivals,
    events,
    latency_ms,
    queue_mean_ms,
    stalled_p99_ms,
)
from tests.loadtests.known_server import GATEWAY_MS, MODEL, PROXY_MS, RAY_MS, STALL_S, Behaviour, open_known
from tests.loadtests.loadtest_process import run_loadtest

Test = Callable[..., LoadReport]
Record = dict[str, Any]
Compared = tuple[LoadReport, list[Record]]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Test:
    """Runs `counterweight loadtest` and reads the JSON that it wrote."""

    def load(kind: str, url: str, *arguments: str) -> LoadReport:
        path = tmp_path_factory.mktemp("report") / "report.json"
        finished = run_loadtest(kind, url, *arguments, "--model", MODEL, "--json", str(path))
        assert finished.code in {0, 1, 3}, finished.out + finished.err
        return LoadReport.model_validate_json(path.read_text())

    return load


def _value(estimate: Interval | None) -> float:
    assert estimate is not None
    return estimate.value


def _outcome(report: LoadReport, name: str) -> str:
    return next(check.outcome for check in report.checks if check.name == name)


@pytest.fixture(scope="module")
def mixed(load: Test) -> LoadReport:
    """One run of 300/s, in which each of six independent variants gets 50/s."""
    behaviours = {
        "fixed": Behaviour(service_ms=30),
        "queue": Behaviour(per_s=62.5),
        "slow": Behaviour(service_ms=10, slow_share=0.06, slow_ms=800),
        "faulty": Behaviour(error_share=0.02),
        "broken": Behaviour(error_share=1),
        "html": Behaviour(html=True),
    }
    options = ("--rate", "300", "--duration", "8", "--warmup", "0", "--set", "p99_ms=500")
    with open_known(**behaviours) as url:
        return load("run", url, "--pin", ",".join(behaviours), *options)


def test_as_many_are_sent_as_a_poisson_stream_has(mixed: LoadReport) -> None:
    """The number of requests, in total and per variant, is that of a Poisson stream."""
    assert mixed.requests in arrivals(300, 8)
    assert all(variant.requests in arrivals(50, 8) for variant in mixed.variants.values())


def test_what_is_served_in_30_ms_takes_30_ms(mixed: LoadReport) -> None:
    """The median of a server of 30 ms is within its bounds."""
    assert mixed.variants["fixed"].errors == 0
    assert _value(mixed.variants["fixed"].p50_ms) in latency_ms(30)


def test_a_queue_waits_as_long_as_the_formula_says(mixed: LoadReport) -> None:
    """At a load of 80 % the mean time is within the bounds of the M/D/1 queue's formula."""
    mean_ms = mixed.variants["queue"].mean_ms
    assert mean_ms is not None
    assert mean_ms in queue_mean_ms(50, 62.5, 8)


def test_both_modes_of_a_latency_show(mixed: LoadReport) -> None:
    """If 6 % of the answers take 800 ms longer, as many are over the limit, and the p99 is one of them."""
    slow, fixed = mixed.variants["slow"], mixed.variants["fixed"]
    assert slow.over_limit is not None
    assert fixed.over_limit is not None
    bounds = events(0.06, slow.requests)
    # The variant `fixed` usually takes 30 ms, so its late answers show how much the machine delays.
    assert bounds.low <= slow.over_limit <= bounds.high + 2 * fixed.over_limit
    assert _value(slow.p50_ms) in latency_ms(10)
    assert _value(slow.p99_ms) in latency_ms(810)


def test_errors_are_counted(mixed: LoadReport) -> None:
    """The number of errors is within the bounds of 2 %."""
    faulty = mixed.variants["faulty"]
    assert faulty.errors in events(0.02, faulty.requests)


def test_one_variant_that_fails_is_the_one_that_is_blamed(mixed: LoadReport) -> None:
    """Each request of the failing variant is an error, and only its guard fails."""
    assert mixed.variants["broken"].errors == mixed.variants["broken"].requests
    assert _outcome(mixed, "errors of broken") == "FAIL"
    assert _outcome(mixed, "errors of fixed") != "FAIL"


def test_a_wrong_body_is_an_error(mixed: LoadReport) -> None:
    """A status of 200 with a wrong body is an error, and each cause has its message."""
    wrong, failed = mixed.variants["html"], mixed.variants["faulty"].errors + mixed.variants["broken"].errors
    assert mixed.errors_by_cause == {
        "the body is not JSON": wrong.requests,
        "HTTP 500: failed as it was told": failed,
    }


def test_a_stall_shows_in_the_p99(load: Test) -> None:
    """A stall of one second is in the p99."""
    bound_ms = stalled_p99_ms(100, 5, STALL_S)
    assert bound_ms > 700
    with open_known(only=Behaviour(stall_at=200)) as url:
        report = load("run", url, "--rate", "100", "--duration", "5", "--warmup", "0")
    assert report.errors == 0
    bounds = Bounds(low=bound_ms, high=1000 * STALL_S + SLACK_MS)
    assert _value(report.variants["only"].p99_ms) in bounds


def test_a_server_that_dies_half_way_leaves_a_report(load: Test) -> None:
    """If the server dies, the report has the earlier answers, and the other requests are errors."""
    with open_known(only=Behaviour(dies_at=100)) as url:
        report = load("run", url, "--rate", "100", "--duration", "3", "--warmup", "0")
    assert 1 <= report.requests - report.errors <= 99
    assert report.requests in arrivals(100, 3)


@pytest.fixture(scope="module")
def compared(load: Test, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """The report and the raw records of a baseline of 200 ms, an equal variant, and one that takes 400 ms and
    fails at times."""
    behaviours = {
        "base": Behaviour(service_ms=200, cpu_ms=4),
        "twin": Behaviour(service_ms=200, cpu_ms=4),
        "slow": Behaviour(service_ms=400, cpu_ms=3, error_share=0.2),
    }
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    options = ("--rate", "120", "--duration", "12", "--warmup", "0", "--set", "p99_ms=600")
    with open_known(**behaviours) as url:
        report = load("compare", url, *behaviours, *options, "--records", str(path))
    return report, [json.loads(line) for line in path.read_text().splitlines()]


def _comparison(report: LoadReport, candidate: str) -> CandidateComparison:
    return next(each for each in report.comparisons if each.candidate == candidate)


def _ratio(report: LoadReport, candidate: str) -> Ratio:
    return next(ratio for ratio in _comparison(report, candidate).ratios if ratio.figure == "p50")


def test_a_variant_that_is_slower_is_found(compared: Compared) -> None:
    """The median of the slower variant is shown to be above the baseline's, and below 2.2 times it."""
    ratio = _ratio(compared[0], "slow")
    assert ratio.low > 1
    assert ratio.value < 2.2


def test_a_variant_that_is_alike_is_not_found_to_differ(compared: Compared) -> None:
    """The interval of an equal variant contains 1. A 99 % interval of twice the width misses it in less than
    one of a million runs."""
    ratio = _ratio(compared[0], "twin")
    half = (ratio.high - ratio.low) / 2
    assert ratio.low - half <= 1 <= ratio.high + half


def test_errors_are_weighed_as_a_rollout_weighs_them(compared: Compared) -> None:
    """The report's weighed figures equal those of `weigh` on the raw records."""
    report, records = compared
    ticks = [[0] * 6 for _ in range(13)]
    for record in records:
        if record["pinned"] != "twin":
            first = 0 if record["pinned"] == "base" else 3
            tick = ticks[int(record["intended_s"])]
            tick[first] += 1
            tick[first + 1] += record["error"] is not None
            tick[first + 2] += record["error"] is None and record["done_s"] - record["intended_s"] > 0.6
    expected = weigh(Weighing.model_validate({"share": 0.5, "errors": {"allowed": 0.01}, "ticks": ticks}))
    weighed = {each.figure: each for each in _comparison(report, "slow").weighed}
    assert [weighed["errors"].harm, weighed["over limit"].harm] == [
        figure.harm for figure in expected.figures[:2]
    ]
    assert weighed["errors"].harm > 0


def test_cost_is_split_by_where_it_was_spent(compared: Compared) -> None:
    """The costs per 1,000 requests equal those of the known server."""
    cost = compared[0].variants["base"].cost
    assert cost is not None
    assert cost.model_s == pytest.approx(4)
    assert cost.gateway_s == pytest.approx(GATEWAY_MS)
    assert cost.proxy_s == pytest.approx(PROXY_MS + RAY_MS)


def test_a_leak_is_found(load: Test) -> None:
    """A server that leaks 1 MiB per request fails the check on memory."""
    with open_known(only=Behaviour(leak_bytes=2**20)) as url:
        report = load("soak", url, "--rate", "60", "--duration", "6", "--warmup", "0")
    assert report.requests in arrivals(60, 6)
    assert _outcome(report, "drift of memory") == "FAIL"
