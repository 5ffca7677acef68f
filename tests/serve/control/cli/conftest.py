"""One endpoint over `linear`, whose keeper has a rollout in its third step, and commands that call it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from counterweight import main
from tests.serve.endpoint import Endpoint

# A person's input -> the exit code and the output.
Type = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def endpoint(module_repository: Path) -> Iterator[Endpoint]:
    with Endpoint(repository=module_repository, weights={"linear": {"base": 9.0, "light": 1.0}}) as endpoint:
        yield endpoint


@pytest.fixture(name="type")
def _type(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Type]:
    """Run `counterweight ...` against the endpoint."""
    monkeypatch.setenv("COUNTERWEIGHT_URL", endpoint.url)
    monkeypatch.delenv("COUNTERWEIGHT_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    # The keeper of these tests informs no gateway.
    monkeypatch.setattr("serve.control.cli.routes_command._HEARD_WITHIN_S", 0.0)

    def run(*words: str) -> tuple[int, str]:
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    yield run
    endpoint.control.forget()
