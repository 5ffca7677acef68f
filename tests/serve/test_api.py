from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from serve.api import create_app
from serve.batching import Outputs
from serve.errors import VariantUnavailable
from serve.model import ServedModel
from serve.placement import Placement, Together
from serve.repository import read_model
from serve.routing import Routes
from serve.session import open_session
from serve.settings import Settings
from serve.tensor import Arrays

INFER = "/v2/models/linear/infer"
BODY = {"id": "a", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


class Down:
    """A placement whose host is gone, or whose code is broken."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, arrays: Arrays) -> Outputs:
        raise self.error

    async def ready(self) -> bool:
        return False


def client_for(repository: Path, weights: dict[str, float], **changed: Placement) -> TestClient:
    stored = read_model(repository / "linear")
    placements: dict[str, Placement] = {
        name: Together(open_session(stored.folder / name)) for name in stored.servable
    }
    settings = Settings(max_body_bytes=2000)
    routes = Routes(model="linear", baseline="base", weights=weights)
    model = ServedModel(stored.signature, placements | changed, routes, settings)
    return TestClient(create_app({"linear": model}, settings), raise_server_exceptions=False)


@pytest.fixture
def client(module_repository: Path) -> Iterator[TestClient]:
    with client_for(module_repository, {"base": 1.0, "light": 0.0}) as client:
        yield client


def test_answers_with_the_variant_and_the_id(client: TestClient) -> None:
    """The whole answer of the protocol."""
    answer = client.post(INFER, json=BODY)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "linear",
        "model_version": "base",
        "id": "a",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [10.0, 10.0, 10.0]}],
    }


def test_a_version_in_the_path_pins_the_variant(client: TestClient) -> None:
    """A pinned request is answered also at weight 0."""
    answer = client.post("/v2/models/linear/versions/light/infer", json=BODY).json()
    assert (answer["model_version"], answer["outputs"][0]["data"][0]) == ("light", 20.0)


def test_weight_zero_gets_no_request(client: TestClient) -> None:
    """Two hundred requests, none of them to the variant without weight."""
    assert {client.post(INFER, json=BODY).json()["model_version"] for _ in range(200)} == {"base"}


def test_the_sticky_header_decides(module_repository: Path) -> None:
    """The same key gets the same variant each time, and different keys get different ones."""
    with client_for(module_repository, {"base": 1.0, "light": 1.0}) as client:
        answers = {
            key: {
                client.post(INFER, json=BODY, headers={"x-counterweight-key": key}).json()["model_version"]
                for _ in range(5)
            }
            for key in map(str, range(40))
        }
    assert all(len(variants) == 1 for variants in answers.values())
    # 40 fair keys all on one side: 2 in 2**40.
    assert set.union(*answers.values()) == {"base", "light"}


def test_metadata_shows_the_signature_and_the_variants(client: TestClient) -> None:
    """What a load test needs to know stands in the metadata."""
    assert client.get("/v2/models/linear").json() == {
        "name": "linear",
        "versions": ["base", "light"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }
    assert client.get("/v2/models/linear/versions/light").json()["versions"] == ["light"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/linear/ready", {"name": "linear", "ready": True}),
        ("/v2/models/linear/versions/light/ready", {"name": "linear", "ready": True}),
    ],
)
def test_health_answers_json(client: TestClient, path: str, answer: dict[str, Any]) -> None:
    """Clients that parse the body and clients that look at the status are both served."""
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, answer)


def test_the_server_says_what_it_is(client: TestClient) -> None:
    """Name, version and the extensions that work."""
    metadata = client.get("/v2").json()
    assert (metadata["name"], metadata["extensions"]) == ("counterweight", [])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v2/models/lineer/infer", "did you mean 'linear'"),
        ("/v2/models/linear/versions/ligt/infer", "did you mean 'light'"),
        ("/v2/models/linear/versions/poor/infer", "serves no variant 'poor'"),
    ],
    ids=["model", "variant", "rejected variant"],
)
def test_unknown_names_are_404_with_a_hint(client: TestClient, path: str, message: str) -> None:
    """The nearest known name stands in the error."""
    answer = client.post(path, json=BODY)
    assert answer.status_code == 404
    assert message in answer.json()["error"]


def test_an_invalid_request_is_400_as_the_protocol_writes_errors(client: TestClient) -> None:
    """The body is {"error": ...} and the content type is plain JSON."""
    answer = client.post(INFER, json={"inputs": []})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"error": "input 'x' is missing; expected: x"}


def test_a_large_body_is_413(client: TestClient) -> None:
    """The limit holds for a declared length."""
    assert client.post(INFER, content=b" " * 2001).status_code == 413


def test_a_large_body_without_a_length_is_413_too(client: TestClient) -> None:
    """The limit holds for chunks whose length nobody declared."""

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * 1000

    assert client.post(INFER, content=chunks()).status_code == 413


def test_an_unknown_path_is_404_in_the_same_form(client: TestClient) -> None:
    """Every error has one shape."""
    assert client.get("/v3").json() == {"error": "GET /v3: Not Found"}
    assert client.get(INFER).status_code == 405


def test_a_variant_that_is_down_is_503_and_not_ready(module_repository: Path) -> None:
    """Its state is seen on the health routes, and a request to it fails alone."""
    down = Down(VariantUnavailable("light is gone"))
    with client_for(module_repository, {"base": 1.0}, light=down) as client:
        assert client.post("/v2/models/linear/versions/light/infer", json=BODY).status_code == 503
        assert client.get("/v2/models/linear/versions/light/ready").status_code == 503
        assert client.get("/v2/health/ready").json() == {"ready": False}
        assert client.post(INFER, json=BODY).status_code == 200


def test_a_bug_is_500_without_its_secrets(module_repository: Path) -> None:
    """The answer names the class; the rest is in the server's log."""
    broken = Down(ZeroDivisionError("password"))
    with client_for(module_repository, {"base": 1.0}, light=broken) as client:
        answer = client.post("/v2/models/linear/versions/light/infer", json=BODY)
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error: ZeroDivisionError; the server's log says more"}


def test_the_control_api_shows_the_split_and_the_counts(module_repository: Path) -> None:
    """What was asked for stands beside what was served."""
    down = Down(VariantUnavailable("light is gone"))
    with client_for(module_repository, {"base": 9.0, "light": 1.0}, light=down) as client:
        client.post("/v2/models/linear/versions/base/infer", json=BODY)
        client.post("/v2/models/linear/versions/light/infer", json=BODY)
        shown = client.get("/control/models/linear").json()
    assert shown["routes"]["weights"] == {"base": 9.0, "light": 1.0}
    assert shown["routes"]["revision"] == 1
    counts = {
        name: (entry["share"], entry["requests"], entry["errors"])
        for name, entry in shown["variants"].items()
    }
    assert counts == {"base": (0.9, 1, 0), "light": (0.1, 1, 1)}


def test_an_answer_that_cannot_be_written_counts_as_an_error(module_repository: Path) -> None:
    """The tally counts what the client got, and that was a 500."""

    class Overflowing(Down):
        async def run(self, arrays: Arrays) -> Outputs:
            return {"y": np.full((1, 3), np.inf, np.float32)}

    overflowing = Overflowing(ValueError())
    with client_for(module_repository, {"base": 1.0}, light=overflowing) as client:
        assert client.post("/v2/models/linear/versions/light/infer", json=BODY).status_code == 500
        shown = client.get("/control/models/linear").json()["variants"]["light"]
    assert (shown["requests"], shown["errors"]) == (1, 1)


def test_the_control_api_lists_the_models(client: TestClient) -> None:
    """And knows no others."""
    assert client.get("/control/models").json() == {"models": ["linear"]}
    assert client.get("/control/models/other").status_code == 404
