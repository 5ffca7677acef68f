"""A server with an application that echoes."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop

from serve.base.settings import Settings
from tests.serve.http.echo import MakeLoop, Running, running

LOOPS: dict[str, MakeLoop] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module", params=LOOPS)
def make_loop(request: pytest.FixtureRequest) -> MakeLoop:
    """Ray brings uvloop; without it the server must do the same."""
    return LOOPS[request.param]


@pytest.fixture(scope="module")
def server(make_loop: MakeLoop) -> Iterator[Running]:
    """One over `tests.serve.http.echo.Echo` that takes 2,000 bytes of headers."""
    with running(Settings(max_header_bytes=2000), make_loop) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(make_loop: MakeLoop) -> Iterator[Running]:
    """A server that waits half a second for a request."""
    with running(Settings(receive_timeout_s=0.5), make_loop) as server:
        yield server
