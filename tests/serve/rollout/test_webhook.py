import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache

import pytest

from serve.rollout import webhook
from serve.rollout.api_records import TrailLine
from serve.rollout.webhook import Notice, Webhook
from tests.serve.local_control import LocalControl
from tests.serve.receiver import Receiver, Reply

WELL = Reply(status=204, body=b"")
WRONG = Reply(status=500)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(webhook, "_PAUSES_S", (0.01, 0.02))
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "webhook"]


def line(number: int = 1) -> TrailLine:
    """Return the trail's line of a verdict, with another number."""
    return _last_line().model_copy(update={"number": number})


@cache
def _last_line() -> TrailLine:
    return LocalControl("rolled back").keeper.commands.trail("linear", 0)[-1]


def test_a_change_is_posted_as_json() -> None:
    """A change is posted as JSON with its model and all fields of its trail line."""
    with Receiver(WELL) as server, closing(Webhook(f"{server.url}/hook?key=1")) as hook:
        hook.notify("linear", line())
        [received] = server.wait_for(1)
    assert (received.method, received.path) == ("POST", "/hook?key=1")
    assert received.headers["content-type"] == "application/json"
    assert Notice.model_validate_json(received.body) == Notice(model="linear", **dict(line()))


def test_a_name_and_a_password_go_along_as_basic() -> None:
    """A name and a password in the URL are sent decoded as basic authentication."""
    with Receiver(WELL) as server:
        with closing(Webhook(server.url.replace("//", "//ann:p%40ss@"))) as hook:
            hook.notify("linear", line())
        assert server.received[0].headers["authorization"] == "Basic YW5uOnBAc3M="


def test_a_failure_is_tried_again() -> None:
    """A failed post is tried three times, and later posts keep their order."""
    with Receiver(WRONG, WRONG, WELL) as server:
        with closing(Webhook(server.url)) as hook:
            hook.notify("linear", line(1))
            hook.notify("linear", line(2))
            received = server.wait_for(4)
        numbers = [Notice.model_validate_json(each.body).number for each in received]
    assert numbers == [1, 1, 1, 2]


def test_after_three_tries_it_gives_up_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """After three tries the entry is dropped; the log has no path, query or password."""
    with Receiver(WRONG) as server:
        url = server.url.replace("//", "//ann:secret@") + "/services/secret?key=secret"
        with closing(Webhook(url)) as hook:
            hook.notify("linear", line(7))
            server.wait_for(3)
    assert len(server.received) == 3
    assert caplog.messages == [f"webhook {server.url}: gave up on entry 7 of linear: answered 500"]


def test_a_redirect_is_not_followed(caplog: pytest.LogCaptureFixture) -> None:
    """A redirect is not followed, and the log says so."""
    with Receiver(WELL) as other, Receiver(Reply(status=307, headers={"location": other.url})) as server:
        with closing(Webhook(server.url)) as hook:
            hook.notify("linear", line())
            server.wait_for(3)
        assert other.received == []
    assert "redirects are not followed" in caplog.text


def test_nobody_there_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """An unreachable URL is logged and raises nothing."""
    with closing(Webhook("http://127.0.0.1:1/secret")) as hook:
        hook.notify("linear", line())
    assert caplog.messages == [
        "webhook http://127.0.0.1:1: gave up on entry 1 of linear: ConnectionRefusedError"
    ]


def test_telling_waits_for_nobody(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """`notify` returns while the receiver hangs; the 100 newest entries wait and older ones are dropped."""
    monkeypatch.setattr(webhook, "_TIMEOUT_S", 600)
    told = line()
    with Receiver(Reply(after_s=60)) as server:
        hook = Webhook(server.url)
        hook.notify("linear", line(0))
        server.wait_for(1)
        for number in range(1, 301):
            hook.notify("linear", told.model_copy(update={"number": number}))
        # The first message still waits for its answer.
        assert len(server.received) == 1
        monkeypatch.setattr(webhook, "_TIMEOUT_S", 0.1)
    hook.close()
    dropped = [message for message in caplog.messages if "dropped" in message]
    assert len(dropped) == 200
    assert dropped[-1].endswith("dropped entry 200 of linear")


def test_closing_sends_what_is_left() -> None:
    """Closing the webhook sends the waiting entries."""
    told = line()
    with Receiver(WELL) as server:
        hook = Webhook(server.url)
        for number in range(20):
            hook.notify("linear", told.model_copy(update={"number": number}))
        hook.close()
        assert [Notice.model_validate_json(each.body).number for each in server.received] == [*range(20)]


def test_closing_does_not_wait_for_ever(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing ends after the timeout, and unsent entries are logged."""
    monkeypatch.setattr(webhook, "_TIMEOUT_S", 0.1)
    with Receiver(Reply(after_s=60)) as server:
        hook = Webhook(server.url)
        hook.notify("linear", line(1))
        server.wait_for(1)
        hook.notify("linear", line(2))
        hook.close()
    assert caplog.messages[-1].endswith("entry 2 of linear")


def test_closing_with_nothing_to_send_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a webhook without entries returns at once."""
    monkeypatch.setattr(webhook, "_TIMEOUT_S", 600)
    began_s = time.monotonic()
    Webhook("http://127.0.0.1:1").close()
    assert time.monotonic() - began_s < 300
