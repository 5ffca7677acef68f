"""Bodies that are not plain JSON, in both directions."""

import json
import struct

import pytest

from tests.serve.endpoint import Endpoint

INFER = "/v2/models/linear/versions/light/infer"
LENGTH = "inference-header-content-length"
ROW = struct.pack("<4f", 1, 2, 3, 4)
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 4]}


def binary(endpoint: Endpoint, **asked: object) -> tuple[int, bytes, dict[str, str]]:
    """Return the status, body and headers of a request whose row follows the JSON as bytes."""
    tensor = TENSOR | {"parameters": {"binary_data_size": len(ROW)}}
    head = json.dumps({"inputs": [tensor], **asked}).encode()
    answer = endpoint.client.post(INFER, content=head + ROW, headers={LENGTH: str(len(head))})
    return answer.status_code, answer.content, dict(answer.headers)


def test_bytes_in_and_json_out(endpoint: Endpoint) -> None:
    """A binary request gets a JSON answer by default."""
    status, content, headers = binary(endpoint)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(content)["outputs"][0]["data"] == [20.0] * 3
    assert LENGTH not in headers


def test_bytes_in_and_bytes_out(endpoint: Endpoint) -> None:
    """With `binary_data_output` the answer is binary, and a header gives the size of its JSON."""
    status, content, headers = binary(endpoint, parameters={"binary_data_output": True})
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert content[int(headers[LENGTH]) :] == struct.pack("<3f", 20, 20, 20)
    assert json.loads(content[: int(headers[LENGTH])])["model_version"] == "light"


def test_a_body_of_nothing_but_bytes(endpoint: Endpoint) -> None:
    """A body of bytes alone is one row of the only input, and the answer is binary."""
    answer = endpoint.client.post(INFER, content=ROW, headers={LENGTH: "0"})
    assert answer.content.endswith(struct.pack("<3f", 20, 20, 20))


@pytest.mark.parametrize("length", ["-1", "soon", "1e2", "9" * 19, "99999"])
def test_a_length_that_cannot_be_is_400(endpoint: Endpoint, length: str) -> None:
    """An invalid length header gives 400, and the error names the header."""
    answer = endpoint.client.post(INFER, content=ROW, headers={LENGTH: length})
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]


@pytest.mark.parametrize(
    ("accept", "rows", "coding"),
    [("gzip", 100, "gzip"), ("deflate", 100, "deflate"), ("identity", 100, None), ("gzip", 1, None)],
    ids=["gzip", "deflate", "not wanted", "not worth it"],
)
def test_an_answer_is_packed_where_that_is_wanted_and_pays(
    endpoint: Endpoint, accept: str, rows: int, coding: str | None
) -> None:
    """A large answer is compressed if the client accepts it."""
    tensor = TENSOR | {"shape": [rows, 4], "data": [1] * 4 * rows}
    body = json.dumps({"inputs": [tensor]}, separators=(",", ":"))
    answer = endpoint.client.post(INFER, content=body, headers={"accept-encoding": accept})
    assert answer.headers.get("content-encoding") == coding
    assert answer.json()["outputs"][0]["data"] == [8.0] * 3 * rows
