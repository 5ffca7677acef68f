"""What is served, how it is split, and what was counted."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.rollout.tally import Load, Tally
from tests.serve.endpoint import Endpoint

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1] * 4}]}


def metrics(endpoint: Endpoint) -> dict[tuple[str, str], float]:
    """Samples by name and variant."""
    families = text_string_to_metric_families(endpoint.client.get("/metrics").text)
    return {
        (sample.name, sample.labels.get("variant", "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_lists_the_models(endpoint: Endpoint) -> None:
    """And knows no others."""
    assert endpoint.client.get("/control/models").json() == {"models": ["linear"]}
    assert endpoint.client.get("/control/models/other").status_code == 404


def test_shows_the_split_and_the_counts(endpoint: Endpoint) -> None:
    """What was asked for stands beside what was served; an error counts as a request."""
    path = "/control/models/linear"
    before = endpoint.client.get(path).json()["variants"]
    endpoint.client.post("/v2/models/linear/versions/base/infer", json=BODY)
    late = {"x-request-timeout-seconds": "1e-9"}
    endpoint.client.post("/v2/models/linear/versions/light/infer", json=BODY, headers=late)
    shown = endpoint.client.get(path).json()
    grown = {
        name: (entry["share"], *(entry[count] - before[name][count] for count in ("requests", "errors")))
        for name, entry in shown["variants"].items()
    }
    assert shown["routes"]["weights"] == {"base": 9.0, "light": 1.0}
    assert shown["routes"]["revision"] == 1
    assert grown == {"base": (0.9, 1, 0), "light": (0.1, 1, 1)}


def test_what_was_never_asked_has_no_latency(endpoint: Endpoint) -> None:
    """Nothing measured is null, and no number."""
    endpoint.registry.models["linear"].served["light"].queue.tally.latency = Tally().latency
    shown = endpoint.client.get("/control/models/linear").json()["variants"]["light"]
    assert (shown["p50_ms"], shown["p99_ms"]) == (None, None)


def test_metrics_count_what_was_served(endpoint: Endpoint) -> None:
    """By variant, in Prometheus' own format."""
    before = metrics(endpoint)
    for _ in range(3):
        endpoint.client.post("/v2/models/linear/versions/base/infer", json=BODY)
    after = metrics(endpoint)
    key = ("counterweight_requests_total", "base")
    assert after[key] - before[key] == 3
    assert after["counterweight_route_share", "light"] == 0.1
    assert after["counterweight_ready", "light"] == 1


@pytest.mark.parametrize(
    ("accept", "media_type", "end"),
    [
        ("", "text/plain; version=0.0.4", "\n"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0", "# EOF\n"),
    ],
)
def test_metrics_come_as_they_are_asked_for(
    endpoint: Endpoint, accept: str, media_type: str, end: str
) -> None:
    """Prometheus asks for OpenMetrics first."""
    answer = endpoint.client.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.text.endswith(end)


def test_all_gateways_count_together(endpoint: Endpoint) -> None:
    """Whichever of them is asked."""
    alone = endpoint.client.get("/control/models/linear").json()["variants"]["base"]["requests"]
    theirs = Tally()
    theirs.requests = 1000
    endpoint.registry.others = {("linear", "base"): Load(tally=theirs, in_flight=7, waiting_rows=0)}
    try:
        shown = endpoint.client.get("/control/models/linear").json()["variants"]["base"]
        assert shown["requests"] - alone == 1000
        assert metrics(endpoint)["counterweight_in_flight", "base"] == 7
    finally:
        endpoint.registry.others = {}
