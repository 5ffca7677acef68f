"""One endpoint over `linear` for tests that only send requests, and keepers with real stores."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from serve.base.settings import Settings
from serve.rollout.store.store import Store
from tests.serve.endpoint import Endpoint
from tests.serve.rollout.local_keeper import Clock, Gateway, LocalKeeper
from tests.serve.rollout.stores import postgres, postgres_folder

_DATABASES = count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL, for all tests of the session."""
    programs = postgres_folder()
    if programs is None:
        pytest.skip("no initdb here; apt-get install postgresql")
    with postgres(programs) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rollouts.db"
    server: str = request.getfixturevalue("postgres_url")
    name = f"test{next(_DATABASES)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{server}/{name}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A new store, whose keeper has the lease."""
    store = Store(url, "keeper")
    assert store.renew(0.0)
    yield store
    store.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test sets."""
    return Clock(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A store's URL in a folder of its own."""
    (tmp_path / "store").mkdir()
    return f"sqlite:///{tmp_path}/store/rollouts.db"


@pytest.fixture
def keeping(file: str, clock: Clock) -> Iterator[LocalKeeper]:
    """A keeper with a store in a file."""
    keeping = LocalKeeper(file, clock)
    yield keeping
    keeping.kill()


@pytest.fixture
def gateway() -> Gateway:
    """A gateway that has counted nothing."""
    return Gateway()


@pytest.fixture(scope="module")
def endpoint(module_repository: Path) -> Iterator[Endpoint]:
    weights = {"linear": {"base": 9.0, "light": 1.0}}
    settings = Settings(max_body_bytes=4000, max_batch_rows=16, control_writes_per_s=1e6)
    with Endpoint(repository=module_repository, weights=weights, settings=settings) as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> None:
    """Forget what the test before told the repository and the keeper."""
    if "endpoint" in request.fixturenames:
        endpoint: Endpoint = request.getfixturevalue("endpoint")
        endpoint.shelf.told.clear()
        endpoint.shelf.error = None
        endpoint.control.forget()
