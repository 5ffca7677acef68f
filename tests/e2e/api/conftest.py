"""One server for all tests of its API, which stops after the last one."""

from collections.abc import Iterator

import pytest

from tests.conftest import fill_repository, make_lookup
from tests.e2e.server import Server, running_server
from tests.serve.texts import make_text_bundle


@pytest.fixture(scope="package", params=["apart", "together"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with three models in either placement, for tests that leave the models unchanged."""
    repository = tmp_path_factory.mktemp("served") / "models"
    fill_repository(repository)
    make_lookup(repository)
    make_text_bundle(repository, "base")
    split = "linear:base=80,light=20"
    with running_server(repository, "--placement", request.param, "--weights", split) as server:
        yield server
