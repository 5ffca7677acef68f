"""What is recorded of a request that has ended."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from serve.observe.access_log import AccessLog
from serve.observe.observer import Exchange, Observer
from tests.serve.endpoint import Endpoint
from tests.serve.host import Stuck

INFER = "/v2/models/linear/versions/light/infer"
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [1] * 8}]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Noting(Observer):
    """Keeps every exchange."""

    def __init__(self) -> None:
        super().__init__()
        self._noted: Queue[Exchange] = Queue()

    def note(self, exchange: Exchange) -> None:
        self._noted.put(exchange)

    def next(self) -> Exchange:
        """Return the next request that has ended, waiting for up to a minute."""
        return self._noted.get(timeout=60)


@pytest.fixture
def observer() -> Noting:
    return Noting()


@pytest.fixture
def endpoint(module_repository: Path, observer: Noting) -> Iterator[Endpoint]:
    with Endpoint(repository=module_repository, observer=observer) as endpoint:
        yield endpoint


def test_a_request_id_comes_back(endpoint: Endpoint, observer: Noting) -> None:
    """A request id from the client is in the answer and in the record."""
    answer = endpoint.client.post(INFER, json=BODY, headers={"x-request-id": "mine-42"})
    assert answer.headers["x-request-id"] == "mine-42"
    assert observer.next().request_id == "mine-42"


@pytest.mark.parametrize("given", [None, "", "a b", "a" * 129])
def test_a_request_without_a_sound_id_gets_one(endpoint: Endpoint, given: str | None) -> None:
    """A request without a valid id gets a random one."""
    headers = {} if given is None else {"x-request-id": given}
    answer = endpoint.client.get("/v2", headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_trace_is_passed_on(endpoint: Endpoint, observer: Noting) -> None:
    """The answer has the caller's trace and flags, with a new span of the server."""
    answer = endpoint.client.post(INFER, json=BODY, headers={"traceparent": PARENT})
    version, trace, span, flags = answer.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span == observer.next().context.span_id != "00f067aa0ba902b7"


@pytest.mark.parametrize("given", [None, "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_a_request_without_a_sound_trace_begins_one(endpoint: Endpoint, given: str | None) -> None:
    """A request without a valid trace starts one, as the W3C standard says."""
    headers = {} if given is None else {"traceparent": given}
    answer = endpoint.client.get("/v2", headers=headers)
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-03", answer.headers["traceparent"])


def test_errors_carry_both_too(endpoint: Endpoint) -> None:
    """Error answers have a request id and a trace, too."""
    for answer in (endpoint.client.get("/nowhere"), endpoint.client.post(INFER, content=b"{")):
        assert {"x-request-id", "traceparent"} <= set(answer.headers)


def test_an_answered_request_says_who_answered_and_how_much(endpoint: Endpoint, observer: Noting) -> None:
    """The record has the route's pattern, the variant, the rows and the sizes of both bodies."""
    answer = endpoint.client.post(INFER, json=BODY)
    exchange = observer.next()
    assert (exchange.method, exchange.path) == ("POST", INFER)
    assert exchange.route == "/v2/models/{model}/versions/{variant}/infer"
    assert (exchange.model, exchange.variant, exchange.status) == ("linear", "light", 200)
    assert exchange.ran is not None
    assert (exchange.ran.rows, exchange.error, exchange.client) == (2, None, "127.0.0.1")
    sent = int(answer.request.headers["content-length"])
    assert (exchange.bytes_in, exchange.bytes_out) == (sent, len(answer.content))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/models/lineer/infer", (404, "UnknownModel", None)),
        (INFER, (400, "InvalidRequest", "light")),
        ("/v1/embeddings", (400, "InvalidRequest", None)),
        ("/nowhere", (404, None, None)),
    ],
)
def test_a_failed_request_says_why(
    endpoint: Endpoint, observer: Noting, path: str, expected: tuple[int, str | None, str | None]
) -> None:
    """The record of a failed request has the class of the error and the chosen variant."""
    endpoint.client.post(path, content=b"{}")
    exchange = observer.next()
    assert (exchange.status, exchange.error, exchange.variant) == expected


def test_a_path_that_is_not_here_has_no_route_of_its_own(endpoint: Endpoint, observer: Noting) -> None:
    """Unknown paths share one route name."""
    endpoint.client.get("/wp-admin")
    assert observer.next().route == "unknown path"


def test_a_client_that_left_is_499(module_repository: Path, observer: Noting) -> None:
    """A request whose client left is recorded with status 499."""
    stuck = Stuck()
    with Endpoint(repository=module_repository, observer=observer, place=stuck.place) as endpoint:
        content = json.dumps(BODY).encode()
        with socket.create_connection(("127.0.0.1", endpoint.port)) as connection:
            head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content)
            endpoint.wait_for_requests(1)
        exchange = observer.next()
        endpoint.call(stuck.let_go())
    assert (exchange.status, exchange.ran) == (499, None)


def test_the_access_log_has_a_line_for_each_request(module_repository: Path, tmp_path: Path) -> None:
    """The access log has one line a request, with its id, trace, variant and rows."""
    log = AccessLog(tmp_path / "log")
    with Endpoint(repository=module_repository, observer=Observer(log)) as endpoint:
        endpoint.client.post(INFER, json=BODY, headers={"x-request-id": "first", "traceparent": PARENT})
        endpoint.client.get("/v3", headers={"x-request-id": "second"})
    log.close()
    first, second = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    assert (first["request_id"], first["trace_id"], first["status"]) == ("first", TRACE, 200)
    assert (first["model"], first["variant"], first["rows"]) == ("linear", "light", 2)
    assert 0 <= first["queue_ms"] <= first["duration_ms"]
    assert (second["request_id"], second["path"], second["status"]) == ("second", "/v3", 404)
    assert (second["model"], second["rows"], second["queue_ms"]) == (None, None, None)
