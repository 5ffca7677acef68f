from pathlib import Path

import pytest

from serve.bundles.meaning import Meaning
from serve.control.api import Bundles
from serve.control.operations import BUNDLES
from serve.counting.tally import Tally, VariantLoad
from serve.rollout.api_records import Curves
from tests.serve.cluster import Cluster
from tests.serve.endpoint import Endpoint

LATE = {"x-request-timeout-seconds": "1e-9"}
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1] * 4}]}


def test_lists_the_models(endpoint: Endpoint) -> None:
    """The list has exactly the served models."""
    assert endpoint.client.get("/control/models").json() == {"models": ["linear"], "rolling": []}
    assert endpoint.client.get("/control/models/other").status_code == 404


def test_lists_the_models_that_are_rolling_out(endpoint: Endpoint) -> None:
    """The list of models names those with a running rollout."""
    endpoint.watched("linear-1")
    shown = endpoint.client.get("/control/models").json()
    endpoint.watched(None)
    assert shown["rolling"] == ["linear"]


def test_shows_what_a_shadow_has_come_to(endpoint: Endpoint) -> None:
    """The model's page shows a shadow's counts even without a rollout."""
    tally = endpoint.registry.models["linear"].served["light"].queue.tally
    tally.copies, tally.disagreements, tally.drops = 640, 9, 17
    shown = endpoint.client.get("/control/models/linear").json()["variants"]["light"]
    tally.copies = tally.disagreements = tally.drops = 0
    assert [shown[name] for name in ("compared", "disagreements", "dropped")] == [640, 9, 17]


def test_says_when_two_answers_agree(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are those of the task and of the rule that the bundle records; null without them."""
    path, shadows = "/control/models/linear", endpoint.registry.models["linear"].shadows
    assert endpoint.client.get(path).json()["agreement"] is None
    monkeypatch.setattr(shadows, "meanings", {"y": Meaning(kind="numbers", abs=20)})
    said = endpoint.client.get(path).json()["agreement"]
    assert said == "agreement: the share of rows with every number within 20 of the baseline's"


def test_shows_the_split_and_the_counts(endpoint: Endpoint) -> None:
    """The answer has each variant's share and counts; an error counts as a request."""
    path = "/control/models/linear"
    before = endpoint.client.get(path).json()["variants"]
    endpoint.client.post("/v2/models/linear/versions/base/infer", json=BODY)
    endpoint.client.post("/v2/models/linear/versions/light/infer", json=BODY, headers=LATE)
    shown = endpoint.client.get(path).json()
    grown = {
        name: (entry["share"], *(entry[count] - before[name][count] for count in ("requests", "errors")))
        for name, entry in shown["variants"].items()
    }
    assert shown["routes"]["weights"] == {"base": 9.0, "light": 1.0}
    assert shown["routes"]["revision"] == 1
    assert grown == {"base": (0.9, 1, 0), "light": (0.1, 1, 1)}


def test_what_was_never_asked_has_no_latency(endpoint: Endpoint) -> None:
    """A variant without requests has null as its quantiles."""
    endpoint.registry.models["linear"].served["light"].queue.tally.latency = Tally().latency
    shown = endpoint.client.get("/control/models/linear").json()["variants"]["light"]
    assert (shown["p50_ms"], shown["p99_ms"]) == (None, None)


def test_all_gateways_count_together(endpoint: Endpoint) -> None:
    """The counts include the requests of the other gateways."""
    alone = endpoint.client.get("/control/models/linear").json()["variants"]["base"]["requests"]
    theirs = Tally()
    theirs.requests = 1000
    endpoint.registry.others = {("linear", "base"): VariantLoad(tally=theirs, in_flight=7, waiting_rows=0)}
    try:
        shown = endpoint.client.get("/control/models/linear").json()["variants"]["base"]
        assert shown["requests"] - alone == 1000
    finally:
        endpoint.registry.others = {}


def test_tells_which_rollout_runs(endpoint: Endpoint) -> None:
    """`rollout` names the running rollout, or is null."""
    endpoint.watched("linear-1")
    running = endpoint.client.get("/control/models/linear").json()["rollout"]
    endpoint.watched(None)
    over = endpoint.client.get("/control/models/linear").json()["rollout"]
    assert (running, over) == ("linear-1", None)


def test_a_variant_that_is_down_is_not_ready(module_repository: Path) -> None:
    """A variant whose host is lost is shown as not ready."""
    cluster = Cluster()
    with Endpoint(repository=module_repository, place=cluster.place) as endpoint:
        endpoint.call(cluster.hosts["linear/light"].kill())
        endpoint.client.post("/v2/models/linear/versions/light/infer", json=BODY, headers=LATE)
        variants = endpoint.client.get("/control/models/linear").json()["variants"]
    assert {name: entry["ready"] for name, entry in variants.items()} == {"base": True, "light": False}


def test_shows_the_last_minutes(endpoint: Endpoint) -> None:
    """The curves equal those of the keeper, including null for missing values."""
    shown = endpoint.client.get("/control/models/linear/curves")
    told = endpoint.control.keeper.commands.curves("linear")
    assert Curves.model_validate_json(shown.content) == told
    assert shown.json()["variants"]["light"]["p50_ms"][0] is None


def test_shows_what_was_measured_of_each_bundle(endpoint: Endpoint) -> None:
    """The bundles equal those of the keeper; a rejected bundle is not loaded, and an unknown model is 404."""
    shown = endpoint.client.get("/control/models/linear/bundles")
    told = endpoint.call(endpoint.control.ask(BUNDLES, "linear"))
    assert Bundles.model_validate_json(shown.content) == told
    assert [name for name, bundle in told.bundles.items() if bundle.loaded is None] == ["poor"]
    assert shown.json()["bundles"]["base"]["figures"]["quality"]["accuracy"]["value"] == 0.9
    assert endpoint.client.get("/control/models/other/bundles").status_code == 404
