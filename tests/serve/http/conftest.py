"""One endpoint over `linear` for tests that only ask, and one server over nothing but an echo."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from serve.base.settings import Settings
from tests.serve.endpoint import Endpoint
from tests.serve.http.echo import MakeLoop, Running, running


@pytest.fixture(scope="module")
def endpoint(module_repository: Path) -> Iterator[Endpoint]:
    weights = {"linear": {"base": 9.0, "light": 1.0}}
    settings = Settings(max_body_bytes=4000, max_batch_rows=16, control_writes_per_s=1e6)
    with Endpoint(repository=module_repository, weights=weights, settings=settings) as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> None:
    """What one test told the repository and the keeper is not the next one's."""
    if "endpoint" in request.fixturenames:
        endpoint: Endpoint = request.getfixturevalue("endpoint")
        endpoint.shelf.told.clear()
        endpoint.shelf.error = None
        endpoint.desk.forget()


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
    """One that waits for half a second."""
    with running(Settings(receive_timeout_s=0.5), make_loop) as server:
        yield server
