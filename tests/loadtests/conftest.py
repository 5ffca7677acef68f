"""Shared by the tests of load tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from loadtests.sending.model_metadata import ModelMetadata
from tests.loadtests.fake_server import METADATA, FakeServer, open_server
from tests.loadtests.stub_server import Answers, open_desk


@pytest.fixture
def metadata() -> ModelMetadata:
    return ModelMetadata.model_validate(METADATA)


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """Starts servers, and stops them at the end."""
    with ExitStack() as stack:
        yield lambda *answers: stack.enter_context(open_server(*answers))


@pytest.fixture
def desk() -> Iterator[Callable[[Answers], str]]:
    """Opens desks, and closes them at the end."""
    with ExitStack() as stack:
        yield lambda answers: stack.enter_context(open_desk(answers))
