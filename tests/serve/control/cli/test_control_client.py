import json

import pytest

from serve.base.errors import InvalidRecord, Refused, ServerFailed
from serve.control import operations
from serve.control.cli.control_client import ControlClient
from serve.control.operations import MODELS, REPLAY
from tests.serve.receiver import Receiver, Reply


def answering(status: int, body: object) -> Receiver:
    """A server that always gives this answer."""
    return Receiver(Reply(status=status, body=json.dumps(body).encode()))


def test_a_server_that_is_not_there_says_how_to_start_one() -> None:
    """The error says how to start a server and how to name another one."""
    with pytest.raises(ServerFailed, match=r"start a server with `counterweight serve models`, or .* --url"):
        ControlClient("http://127.0.0.1:1").ask(MODELS)


def test_the_token_goes_along() -> None:
    """The token goes in the authorization header, and the path is appended to the URL's own path."""
    with answering(200, {"models": []}) as server:
        assert ControlClient(f"{server.url}/behind/", "a-token-of-ours").ask(MODELS) == {"models": []}
        [received] = server.received
    assert received.headers["authorization"] == "Bearer a-token-of-ours"
    assert received.path == "/behind/control/models"


def test_without_a_token_none_is_sent() -> None:
    """Without a token, no authorization header is sent."""
    with answering(200, {"models": []}) as server:
        ControlClient(server.url).ask(MODELS)
        assert "authorization" not in server.received[0].headers


def test_names_cannot_leave_their_place_in_the_path() -> None:
    """A slash or a question mark in a model's name is percent-encoded."""
    with answering(404, {"error": "no model"}) as server:
        with pytest.raises(Refused):
            ControlClient(server.url).ask(operations.MODEL, "a/../b?c")
        assert server.received[0].path == "/control/models/a%2F..%2Fb%3Fc"


def test_a_refusal_is_the_servers_message() -> None:
    """A refusal gives exit code 2 and the server's message without control characters."""
    with (
        answering(403, {"error": "no\x1b[2J token"}) as server,
        pytest.raises(Refused, match=r"^no\?\[2J token$") as refused,
    ):
        ControlClient(server.url).ask(MODELS)
    assert refused.value.exit_code == 2


def test_a_server_in_trouble_is_worth_another_try() -> None:
    """A 503 raises ServerFailed, which is not a refusal."""
    with (
        answering(503, {"error": "another keeper acts"}) as server,
        pytest.raises(ServerFailed, match="another keeper acts"),
    ):
        ControlClient(server.url).ask(MODELS)


@pytest.mark.parametrize("reply", [Reply(body=b"<html>"), Reply(body=b"[]"), Reply(status=302)])
def test_what_is_no_server_of_ours_is_said_so(reply: Reply) -> None:
    """A web page or a redirect is refused, and the redirect is not followed."""
    with Receiver(reply) as server:
        with pytest.raises(ServerFailed, match="the address of a Counterweight server"):
            ControlClient(server.url, "a-token-of-ours").ask(MODELS)
        assert len(server.received) == 1


def test_a_server_of_another_version_is_said_so() -> None:
    """The error names the unknown key and says that the server has another version."""
    with (
        answering(200, {"rollout": "r1", "verdicts": 1, "faults": [], "mood": "good"}) as server,
        pytest.raises(ServerFailed, match=r"unknown key 'mood'.*another version"),
    ):
        ControlClient(server.url).ask(REPLAY, "r1")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host:x", "http://host:0", "http://h?a=b"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """The error for an invalid URL shows an example of a valid one."""
    with pytest.raises(InvalidRecord, match=r"such as http://127\.0\.0\.1:8000"):
        ControlClient(url)


def test_a_password_in_a_url_is_refused_and_not_said_again() -> None:
    """A password in the URL is refused, and the error does not contain it."""
    with pytest.raises(InvalidRecord) as refused:
        ControlClient("http://ann:secret@host")
    assert "secret" not in str(refused.value)
