"""The endpoint as a client sees it: the same with variants in this process and elsewhere."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from serve.base.settings import Settings
from serve.engine.catalog import LoadedVariant
from serve.engine.placement import Placement
from tests.conftest import fill_repository, make_lookup
from tests.serve.cluster import Cluster
from tests.serve.endpoint import Endpoint, together
from tests.serve.host import Host, Stuck

INFER = "/v2/models/linear/infer"
BODY = {"id": "a", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with `linear`, and with `lookup`, which fails for an index above 1."""
    repository = tmp_path_factory.mktemp("two") / "models"
    fill_repository(repository)
    make_lookup(repository)
    return repository


@pytest.fixture(scope="module", params=["together", "apart"])
def endpoint(request: pytest.FixtureRequest, two_models: Path) -> Iterator[Endpoint]:
    place = together if request.param == "together" else Cluster().place
    settings = Settings(max_body_bytes=2000)
    weights = {"linear": {"base": 1.0, "light": 0.0}}
    with Endpoint(repository=two_models, weights=weights, settings=settings, place=place) as endpoint:
        yield endpoint


async def broken(version: LoadedVariant) -> Placement:
    """A host whose code raises an exception."""
    host = Host()
    host.error = ZeroDivisionError("password")
    return host


def look_up(endpoint: Endpoint, index: int) -> Any:
    tensor = {"name": "x", "datatype": "INT64", "shape": [1], "data": [index]}
    return endpoint.client.post("/v2/models/lookup/infer", json={"inputs": [tensor]})


def test_answers_with_the_variant_and_the_id(endpoint: Endpoint) -> None:
    """The answer has the protocol's fields with the variant and the request's id."""
    answer = endpoint.client.post(INFER, json=BODY)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "linear",
        "model_version": "base",
        "id": "a",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [10.0, 10.0, 10.0]}],
    }


def test_a_version_in_the_path_pins_the_variant(endpoint: Endpoint) -> None:
    """A version in the path pins the variant."""
    answer = endpoint.client.post("/v2/models/linear/versions/light/infer", json=BODY).json()
    assert (answer["model_version"], answer["outputs"][0]["data"][0]) == ("light", 20.0)


def test_weight_zero_gets_no_request(endpoint: Endpoint) -> None:
    """None of 200 requests is answered by the variant whose weight is 0."""
    answers = [endpoint.client.post(INFER, json=BODY).json() for _ in range(200)]
    assert {answer["model_version"] for answer in answers} == {"base"}


def test_an_index_that_the_graph_refuses_is_400(endpoint: Endpoint) -> None:
    """The error names the input, its value and the valid range; the next request is answered."""
    refused = look_up(endpoint, 7)
    assert refused.status_code == 400
    assert refused.json()["error"] == (
        "input 'x' has the value 7, expected -2 to 1: the model's table has no other entries"
    )
    assert look_up(endpoint, 1).json()["outputs"][0]["data"] == [3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v2/models/lineer/infer", "did you mean 'linear'"),
        ("/v2/models/linear/versions/ligt/infer", "did you mean 'light'"),
        (
            "/v2/models/linear/versions/poor/infer",
            "variant 'poor': it was rejected: accuracy 0.50 is 0.40 below",
        ),
    ],
    ids=["model", "variant", "rejected variant"],
)
def test_unknown_names_are_404_with_a_hint(endpoint: Endpoint, path: str, message: str) -> None:
    """Unknown names give 404, and the error suggests the nearest name."""
    answer = endpoint.client.post(path, json=BODY)
    assert answer.status_code == 404
    assert message in answer.json()["error"]


def test_an_invalid_request_is_400_as_the_protocol_writes_errors(endpoint: Endpoint) -> None:
    """An invalid request gives 400 with {"error": ...} as JSON."""
    answer = endpoint.client.post(INFER, json={"inputs": []})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"error": "input 'x' is missing; expected: x"}


def test_a_large_body_is_413(endpoint: Endpoint) -> None:
    """A declared length above the limit gives 413, and the next request is answered."""
    assert endpoint.client.post(INFER, content=b" " * 2001).status_code == 413
    assert endpoint.client.post(INFER, json=BODY).status_code == 200


def test_a_large_body_without_a_length_is_413_too(endpoint: Endpoint) -> None:
    """The body limit also holds for chunks without a declared length; the next request is answered."""
    assert endpoint.client.post(INFER, content=iter([b" " * 1000] * 3)).status_code == 413
    assert endpoint.client.post(INFER, json=BODY).status_code == 200


def test_an_unknown_path_is_404_in_the_same_form(endpoint: Endpoint) -> None:
    """An unknown path and a wrong method give an error in the same form."""
    assert endpoint.client.get("/v3").json() == {"error": "GET /v3: Not Found"}
    answer = endpoint.client.get(INFER)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_the_sticky_header_decides(two_models: Path) -> None:
    """The same key gets the same variant each time, and different keys get different ones."""
    with Endpoint(repository=two_models, weights={"linear": {"base": 1.0, "light": 1.0}}) as endpoint:
        answers = {
            key: {
                endpoint.client.post(INFER, json=BODY, headers={"x-counterweight-key": key}).json()[
                    "model_version"
                ]
                for _ in range(5)
            }
            for key in map(str, range(40))
        }
    assert all(len(variants) == 1 for variants in answers.values())
    # 40 fair keys all fall on one side with a probability of 2 in 2**40.
    assert set.union(*answers.values()) == {"base", "light"}


def test_the_baseline_answers_for_a_host_that_is_lost(two_models: Path) -> None:
    """The answer names the lost variant; a request pinned to it gets 503 with `retry-after`."""
    cluster = Cluster()
    with Endpoint(
        repository=two_models, weights={"linear": {"base": 0, "light": 1}}, place=cluster.place
    ) as endpoint:
        endpoint.call(cluster.hosts["linear/light"].kill())
        rescued = endpoint.client.post(INFER, json=BODY).json()
        assert (rescued["model_version"], rescued["parameters"]) == ("base", {"rescued_from": "light"})
        pinned = endpoint.client.post(
            "/v2/models/linear/versions/light/infer", json=BODY, headers={"x-request-timeout-seconds": "1"}
        )
        assert (pinned.status_code, pinned.headers["retry-after"]) == (503, "1")
        assert endpoint.client.get("/v2/models/linear/versions/light/ready").status_code == 503
        assert endpoint.client.get("/v2/health/ready").json() == {"ready": False}


def test_a_request_whose_time_is_up_is_504(two_models: Path) -> None:
    """A timeout in the header (seconds) or in the parameter (microseconds) gives 504."""
    stuck = Stuck()
    with Endpoint(repository=two_models, place=stuck.place) as endpoint:
        by_header = endpoint.client.post(INFER, json=BODY, headers={"x-request-timeout-seconds": "0.05"})
        by_parameter = endpoint.client.post(INFER, json=BODY | {"parameters": {"timeout": 50_000}})
        endpoint.call(stuck.let_go())
    assert (by_header.status_code, by_parameter.status_code) == (504, 504)


def test_a_full_queue_is_503_before_the_body_is_read(two_models: Path) -> None:
    """The 503 has a `retry-after`, and the waiting requests are answered later."""
    stuck, settings = Stuck(), Settings(max_queue_rows=1, max_batch_rows=1)
    with Endpoint(repository=two_models, place=stuck.place, settings=settings) as endpoint:
        with ThreadPoolExecutor() as clients:
            waiting = [clients.submit(endpoint.client.post, INFER, json=BODY) for _ in range(2)]
            endpoint.wait_for_requests(2)
            refused = endpoint.client.post(INFER, content=b"not even JSON")
            endpoint.call(stuck.let_go())
        assert [answer.result().status_code for answer in waiting] == [200, 200]
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "1 rows are waiting" in refused.json()["error"]


def test_a_bug_is_500_without_its_secrets(two_models: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception gives 500 with its class, and the details are in the log."""
    with Endpoint(repository=two_models, place=broken) as endpoint:
        answer = endpoint.client.post(INFER, json=BODY)
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error: ZeroDivisionError; see the server's log"}
    assert "password" in caplog.text
