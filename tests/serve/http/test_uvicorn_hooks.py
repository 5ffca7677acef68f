"""Each hook of uvicorn that the server overrides still exists and is called."""

import inspect
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serve.base.settings import Settings
from serve.http.http_server import _Bounded
from tests.serve.http.echo import MakeLoop, read_answer, running

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
# Hook -> its parameters.
HOOKS = {
    "connection_made": ["transport"],
    "data_received": ["data"],
    "connection_lost": ["exc"],
    "timeout_keep_alive_handler": [],
    "on_message_begin": [],
    "on_message_complete": [],
    "on_url": ["url"],
    "on_header": ["name", "value"],
    "send_400_response": ["msg"],
    "_start_asgi_task": ["cycle", "app"],
}


def test_every_hook_that_is_overridden_is_looked_at_here() -> None:
    """The tests cover each method that `_Bounded` overrides."""
    ours, theirs = (
        {name for name in vars(kind) if name[:2] != "__"} for kind in (_Bounded, HttpToolsProtocol)
    )
    assert ours & theirs == HOOKS.keys()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_the_parameters_that_it_is_called_with(hook: str) -> None:
    """uvicorn's own method has the parameters with which the hook is called."""
    assert list(inspect.signature(getattr(HttpToolsProtocol, hook)).parameters) == ["self", *HOOKS[hook]]


@pytest.mark.parametrize("hook", HOOKS)
def test_uvicorn_calls_the_hook(hook: str, make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hook is called by a request with a body, an idle connection or bytes that are not HTTP."""
    called: list[str] = []
    own = getattr(_Bounded, hook)

    def note(protocol: _Bounded, *arguments: Any) -> Any:
        called.append(hook)
        return own(protocol, *arguments)

    monkeypatch.setattr(_Bounded, hook, note)
    monkeypatch.setattr("serve.http.http_server._IDLE_TIMEOUT_S", 0.1)
    with running(Settings(), make_loop) as server:
        with server.connect() as connection:
            connection.sendall(POST)
            assert b'{"size": 3' in read_answer(connection)
            # The server closes a connection that has been idle for too long.
            assert connection.recv(1) == b""
        assert b"400 Bad Request" in server.ask(b"no HTTP\r\n\r\n")
    assert called


def test_a_cycle_has_what_the_server_reads_and_sets() -> None:
    """uvicorn's request cycle has the attributes that the server reads and sets."""
    names = set(inspect.signature(RequestResponseCycle).parameters)
    source = inspect.getsource(RequestResponseCycle)
    assert "keep_alive" in names
    assert {"self.disconnected", "self.response_complete", "self.keep_alive"} <= set(source.split())
    assert inspect.iscoroutinefunction(RequestResponseCycle.run_asgi)


def test_a_server_takes_sockets_and_ends_when_it_is_told_to() -> None:
    """uvicorn's `_serve` takes sockets, and its server has `should_exit`."""
    assert list(inspect.signature(uvicorn.Server._serve).parameters) == ["self", "sockets"]
    assert inspect.iscoroutinefunction(uvicorn.Server._serve)
    assert uvicorn.Server(uvicorn.Config(app=lambda *_: None)).should_exit is False


def test_the_line_of_a_431_is_there() -> None:
    """uvicorn's table of status lines has the line of 431."""
    assert STATUS_LINE[431] == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
