"""Whatever is sent, the server answers as documented, stays up, and keeps no memory of it."""

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.raw_requests import BATCHES, send_raw
from tests.e2e.server import Server

# The statuses of a busy server; no other server error may occur.
BUSY = (503, 504)
CHECKED = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Each run uses the same examples and reports a failure without shrinking it.
EXAMPLES = settings(
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


def read_document(server: Server) -> dict[str, Any]:
    """Return the document narrowed to the served names, because more choices take longer to generate."""
    document: dict[str, Any] = server.get("/openapi.json").json
    schemas, parameters = document["components"]["schemas"], document["components"]["parameters"]
    schemas["InferenceBody"]["properties"]["inputs"]["maxItems"] = 2
    schemas["InputTensor"]["properties"] |= {
        "name": {"enum": ["x", "text", "y"]},
        "datatype": {"enum": ["FP32", "BYTES", "INT64"]},
        "shape": {"enum": [[1, 4], [2, 4], [1], [0, 4], []]},
        "data": {"type": "array", "items": {"type": ["number", "string"]}, "minItems": 1, "maxItems": 8},
    }
    schemas["EmbeddingsBody"]["properties"]["model"] = {"enum": ["words", "words:base", "linear", "a"]}
    parameters["Model"]["schema"] = {"enum": ["linear", "words", "other"]}
    parameters["File"]["schema"] = {"enum": ["main.js", "other"]}
    parameters["Variant"]["schema"] = {"enum": ["base", "light", "other"]}
    return document


def ask_as_documented(server: Server, examples: int) -> int:
    """Send each operation that changes nothing, with valid and invalid input, `examples` times if it has a
    body. Returns the number of requests."""
    schema = schemathesis.openapi.from_dict(read_document(server))
    sent = 0
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]
            moves = operation.path.startswith("/control") and operation.method != "get"
            if moves or operation.path.endswith("load"):
                continue
            wrong = operation.body or list(operation.iter_parameters())
            for mode in GenerationMode if wrong else [GenerationMode.POSITIVE]:

                @settings(EXAMPLES, max_examples=examples if operation.body else 10)
                @given(case=operation.as_strategy(generation_mode=mode))
                def ask(case: Any) -> None:
                    nonlocal sent
                    sent += 1
                    answer = case.call(base_url=server.url, session=session)
                    assert answer.status_code < 500 or answer.status_code in BUSY, answer.text
                    case.validate_response(answer, checks=CHECKED)

                ask()
    return sent


def ask_anything(server: Server, batches: int) -> int:
    """Send `batches` batches of malformed requests, and return the number of requests."""
    sent = 0

    @settings(EXAMPLES, max_examples=batches)
    @given(BATCHES)
    def ask(contents: list[bytes]) -> None:
        nonlocal sent
        sent += len(contents)
        # A gRPC server understands none of these contents.
        nonsense = [(server.grpc_port, content) for content in contents[:5]]
        answers = send_raw([*((server.port, content) for content in contents), *nonsense])
        for content, statuses in zip(contents, answers, strict=False):
            assert all(status < 500 or status in BUSY for status in statuses), (content, statuses)

    ask()
    return sent


@pytest.mark.parametrize("server", ["together"], indirect=True)
def test_nothing_that_is_sent_breaks_the_server(server: Server) -> None:
    """After over 5,000 documented and malformed requests the same gateway runs, with less than 20 % more
    memory than after a warm-up."""

    def ask(share: int) -> int:
        return ask_as_documented(server, 20 * share) + ask_anything(server, 20 * share)

    sent = ask(1)
    [gateway] = server.replicas("counterweight:gateway")
    warm_bytes = gateway.memory_info().rss
    sent += ask(4)
    assert sent > 5000
    assert server.replicas("counterweight:gateway") == [gateway]
    assert gateway.memory_info().rss < 1.2 * warm_bytes
    assert server.post("/v2/models/linear/versions/base/infer", BODY).json["outputs"][0]["data"] == [10.0] * 3
