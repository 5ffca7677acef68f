import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.base.errors import VariantUnavailable
from serve.counting.tally import Tally, VariantLoad
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


def test_metrics_count_what_was_served(endpoint: Endpoint) -> None:
    """The metrics count requests by variant in the format of Prometheus."""
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
    """The metrics' format follows the Accept header."""
    answer = endpoint.client.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.text.endswith(end)


def test_all_gateways_count_together(endpoint: Endpoint) -> None:
    """The metrics include the loads that other gateways reported."""
    endpoint.registry.others = {("linear", "base"): VariantLoad(tally=Tally(), in_flight=7, waiting_rows=0)}
    try:
        assert metrics(endpoint)["counterweight_in_flight", "base"] == 7
    finally:
        endpoint.registry.others = {}


def test_what_the_processes_cost_is_the_keepers_to_say(endpoint: Endpoint) -> None:
    """CPU seconds are read from the keeper each time, and omitted while it does not answer."""
    name = "counterweight_process_cpu_seconds_total"
    assert metrics(endpoint)[name, "base"] == 4.25
    endpoint.control.error = VariantUnavailable("the keeper does not answer")
    found = metrics(endpoint)
    assert (name, "base") not in found
    assert ("counterweight_requests_total", "base") in found
