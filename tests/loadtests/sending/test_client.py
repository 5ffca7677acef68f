import socket
from typing import Any

import pytest

from loadtests.errors import LoadTestError
from loadtests.sending.client import Client


def test_json_goes_both_ways(desk: Any) -> None:
    """A JSON body is posted, and the JSON answer is returned."""
    client = Client(url=desk({}))
    assert client.post("/echo", {"a": [1]}) == {"a": [1]}


def test_a_token_opens_what_is_closed(desk: Any) -> None:
    """The token is sent as a bearer token."""
    assert Client(url=desk({}), token="secret").get("/closed") == {"open": True}


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_closed_door_names_the_key(desk: Any, token: str | None) -> None:
    """The error for a refused token gives both ways to set one, and not the token."""
    with pytest.raises(
        LoadTestError, match=r"answered 401: a token.*COUNTERWEIGHT_TOKEN.*--token-file"
    ) as told:
        Client(url=desk({}), token=token).get("/closed")
    assert "wrong" not in str(told.value)


def test_a_refused_connection_is_told() -> None:
    """Where nobody listens, the message asks whether the server is up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(LoadTestError, match=rf"{url}/x does not answer: .*refused; is the server up"):
        Client(url=url).get("/x")


@pytest.mark.parametrize(
    ("status", "content", "complaint"),
    [
        (200, "<html>", "/x answered 200 with text/html instead of JSON"),
        (404, "<html>", "/x answered 404 with text/html instead of JSON"),
        (307, "", "/x answered 307 with text/html instead of JSON"),
        (403, "<html>", "/x answered 403: Forbidden; give a token that may do this"),
        (404, {"error": "no such model"}, "/x answered 404: no such model; check --model and the URL"),
        (404, [1], r"/x answered 404: \[1\]; check --model and the URL"),
        (503, {"error": "starting"}, "/x answered 503: starting; look into the server's log"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(desk: Any, status: int, content: Any, complaint: str) -> None:
    """The error has the path, the status, the server's message and the fix."""
    with pytest.raises(LoadTestError, match=complaint):
        Client(url=desk({"/x": (status, content)})).get("/x")


@pytest.mark.parametrize("content", ["Not Found", {"detail": "Not Found"}], ids=str)
def test_a_server_without_a_control_api_is_told(desk: Any, content: Any) -> None:
    """The error for a server without a control API says which servers have one."""
    with pytest.raises(
        LoadTestError, match=r"answered 404.*; only a server that was started by `counterweight"
    ):
        Client(url=desk({"/control/x": (404, content)})).get("/control/x")


def test_what_is_refused_for_now_says_itself_what_to_do(desk: Any) -> None:
    """The error of a 409 is the server's message without further advice."""
    with pytest.raises(LoadTestError, match=r"answered 409: r1 runs; abort it first$"):
        Client(url=desk({"/x": (409, {"error": "r1 runs; abort it first"})})).get("/x")


def test_text_is_read_as_it_is(desk: Any) -> None:
    """`text` returns a body that is not JSON, such as metrics, unchanged."""
    assert Client(url=desk({"/metrics": (200, "requests 1\n")})).text("/metrics") == "requests 1\n"


def test_text_that_is_not_there_is_told(desk: Any) -> None:
    """The error for missing metrics has the status."""
    with pytest.raises(LoadTestError, match="/metrics answered 404: unknown; check"):
        Client(url=desk({"/metrics": (404, {"error": "unknown"})})).text("/metrics")
