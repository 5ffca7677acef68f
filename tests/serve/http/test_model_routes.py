"""What clients ask about the server and its models."""

from typing import Any

import pytest

from tests.serve.endpoint import Endpoint

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [1] * 8}]}


def test_the_server_says_what_it_is(endpoint: Endpoint) -> None:
    """The server's metadata has its name and its extensions."""
    metadata = endpoint.client.get("/v2").json()
    assert metadata["name"] == "counterweight"
    assert {"binary_tensor_data", "classification", "statistics"} <= set(metadata["extensions"])


@pytest.mark.parametrize(
    ("path", "variants"),
    [("/v2/models/linear", ["base", "light"]), ("/v2/models/linear/versions/light", ["light"])],
)
def test_metadata_shows_the_signature_and_the_variants(
    endpoint: Endpoint, path: str, variants: list[str]
) -> None:
    """The metadata has the signature, the variants and the limits that a load test needs."""
    told = endpoint.client.get(path).json()
    told.pop("unserved", None)
    assert told == {
        "name": "linear",
        "versions": variants,
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        "parameters": {"max_body_bytes": 4000, "row_json_bytes": 80, "row_binary_bytes": 16},
    }


def test_metadata_names_what_is_not_served(endpoint: Endpoint) -> None:
    """A model's metadata gives the reason of each variant that is not served; a variant's does not."""
    reason = "accuracy 0.50 is 0.40 below the baseline's, floor 0.02"
    assert endpoint.client.get("/v2/models/linear").json()["unserved"] == {"poor": reason}
    assert "unserved" not in endpoint.client.get("/v2/models/linear/versions/light").json()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/linear/ready", {"name": "linear", "ready": True}),
        ("/v2/models/linear/versions/light/ready", {"name": "linear", "ready": True}),
    ],
)
def test_health_answers_json(endpoint: Endpoint, path: str, answer: dict[str, Any]) -> None:
    """The health routes answer with a status and a JSON body."""
    response = endpoint.client.get(path)
    assert (response.status_code, response.json()) == (200, answer)


@pytest.mark.parametrize("path", ["/v2/models/linear/config", "/v2/models/linear/versions/base/config"])
def test_the_configuration_is_as_triton_writes_it(endpoint: Endpoint, path: str) -> None:
    """The configuration has Triton's format, with the largest batch that shares a run."""
    config = endpoint.client.get(path).json()
    assert (config["name"], config["max_batch_size"]) == ("linear", 16)
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]


def test_statistics_count_requests_rows_and_runs(endpoint: Endpoint) -> None:
    """Statistics count rows and runs of a variant, and list all variants of a model or of all models."""
    path = "/v2/models/linear/versions/light"
    [before] = endpoint.client.get(f"{path}/stats").json()["model_stats"]
    for _ in range(3):
        assert endpoint.client.post(f"{path}/infer", json=BODY).status_code == 200
    [after] = endpoint.client.get(f"{path}/stats").json()["model_stats"]
    grown = [after[name] - before[name] for name in ("inference_count", "execution_count")]
    assert grown == [6, 3]
    for everything in ("/v2/models/linear/stats", "/v2/models/stats"):
        stats = endpoint.client.get(everything).json()["model_stats"]
        assert [entry["version"] for entry in stats] == ["base", "light"]


@pytest.mark.parametrize("question", ["", "/ready", "/config", "/stats"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v2/models/lineer", "no model 'lineer' is served here; did you mean 'linear'?"),
        ("/v2/models/linear/versions/lite", "serves no variant 'lite'; did you mean 'light'?"),
    ],
)
def test_unknown_names_are_404_everywhere(endpoint: Endpoint, question: str, path: str, message: str) -> None:
    """Unknown names give 404, and the error suggests the nearest name."""
    answer = endpoint.client.get(path + question)
    assert answer.status_code == 404
    assert message in answer.json()["error"]


def test_nothing_is_ready_while_there_is_no_model(endpoint: Endpoint) -> None:
    """A server without models is not ready and has empty statistics."""
    models = dict(endpoint.registry.models)
    endpoint.registry.models.clear()
    try:
        assert endpoint.client.get("/v2/health/ready").status_code == 503
        assert endpoint.client.get("/v2/models/stats").json() == {"model_stats": []}
    finally:
        endpoint.registry.models.update(models)
