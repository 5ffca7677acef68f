"""Bodies and headers and their limits."""

import gzip
import json
import zlib
from typing import Any

import httpx2
import pytest

from tests.serve.endpoint import Endpoint

INFER = "/v2/models/linear/versions/base/infer"
BODY = json.dumps(
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
).encode()
# The text exceeds the limit of 4,000 bytes, and equals `BODY` as JSON.
INFLATED = BODY + b" " * 4000


def post(endpoint: Endpoint, body: Any, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return endpoint.client.post(INFER, content=body, headers=named)


@pytest.mark.parametrize(("pack", "coding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_a_compressed_body_is_unpacked(endpoint: Endpoint, pack: Any, coding: str) -> None:
    """A compressed body is decompressed by the coding in its header."""
    assert post(endpoint, pack(BODY), content_encoding=coding).status_code == 200


@pytest.mark.parametrize(("pack", "coding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_a_body_that_inflates_beyond_the_limit_is_413(endpoint: Endpoint, pack: Any, coding: str) -> None:
    """A small body that decompresses beyond the limit gives a 413."""
    packed = pack(INFLATED)
    assert len(packed) < 200
    answer = post(endpoint, packed, content_encoding=coding)
    assert answer.status_code == 413
    assert "over 4000 bytes" in answer.json()["error"]


def test_a_coding_that_is_not_known_is_415(endpoint: Endpoint) -> None:
    """An unknown content encoding gives a 415."""
    answer = post(endpoint, BODY, content_encoding="br")
    assert answer.status_code == 415
    assert "expected gzip or deflate" in answer.json()["error"]


def test_what_is_not_packed_as_it_says_is_400(endpoint: Endpoint) -> None:
    """A body that does not have the declared coding gives 400."""
    assert post(endpoint, BODY, content_encoding="gzip").status_code == 400


@pytest.mark.parametrize("size", [3999, 4000])
def test_a_body_up_to_the_limit_is_read(endpoint: Endpoint, size: int) -> None:
    """A body of exactly the largest size is accepted."""
    assert post(endpoint, BODY.ljust(size)).status_code == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "in chunks"])
def test_a_body_over_the_limit_is_413(endpoint: Endpoint, chunked: bool) -> None:
    """A body that is one byte too large gives a 413."""
    body = BODY.ljust(4001)
    answer = post(endpoint, iter([body[:2000], body[2000:]]) if chunked else body)
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert ("over 4000 bytes" if chunked else "has 4001 bytes, but at most 4000") in error
    assert "about 80 bytes as JSON and 16 as bytes" in error


@pytest.mark.parametrize("timeout", ["5", "0.5", "1e1"])
def test_seconds_are_taken(endpoint: Endpoint, timeout: str) -> None:
    """The header accepts seconds in any notation for a number."""
    assert post(endpoint, BODY, x_request_timeout_seconds=timeout).status_code == 200


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "1e999", "soon", "", "5s"])
def test_a_timeout_that_is_none_is_400(endpoint: Endpoint, timeout: str) -> None:
    """An invalid timeout gives a 400."""
    answer = post(endpoint, BODY, x_request_timeout_seconds=timeout)
    assert answer.status_code == 400
    assert "x-request-timeout-seconds" in answer.json()["error"]


@pytest.mark.parametrize("timeout", ["5e-324", "1e-9"])
def test_hardly_any_time_is_504(endpoint: Endpoint, timeout: str) -> None:
    """A tiny timeout gives a 504 without a run."""
    before = endpoint.registry.loads()["linear", "base"].tally.runs.total()
    assert post(endpoint, BODY, x_request_timeout_seconds=timeout).status_code == 504
    assert endpoint.registry.loads()["linear", "base"].tally.runs.total() == before
