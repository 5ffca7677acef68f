from argparse import Namespace
from pathlib import Path

import pytest

from serve.base.errors import InvalidRecord
from serve.control.cli.client_options import address_options, open_client
from serve.control.operations import MODELS
from tests.serve.receiver import Receiver, Reply

TOKEN = "a-token-of-ours"


def options(*words: str) -> Namespace:
    """Return the address options that a command parses from `words`."""
    return address_options().parse_args(words)


def bearer(server: Receiver, *words: str) -> str | None:
    """Return the authorization header that the server got."""
    open_client(options(*words)).ask(MODELS)
    return server.received[-1].headers.get("authorization")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COUNTERWEIGHT_URL", "COUNTERWEIGHT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_word_the_server_is_on_this_machine() -> None:
    """The default address is the one where `counterweight serve` listens."""
    assert open_client(options()).url == "http://127.0.0.1:8000"


def test_the_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option `--url` overrides the environment variable."""
    monkeypatch.setenv("COUNTERWEIGHT_URL", "http://there:1")
    assert open_client(options()).url == "http://there:1"
    assert open_client(options("--url", "http://here:2")).url == "http://here:2"


def test_the_token_comes_from_a_file_or_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The token is read from the file of the option, or else from the environment."""
    path = tmp_path / "token"
    path.write_text("from-the-file\n")
    monkeypatch.setenv("COUNTERWEIGHT_TOKEN", TOKEN)
    with Receiver(Reply(body=b'{"models": []}')) as server:
        monkeypatch.setenv("COUNTERWEIGHT_URL", server.url)
        assert bearer(server) == f"Bearer {TOKEN}"
        assert bearer(server, "--token-file", str(path)) == "Bearer from-the-file"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"two\nlines", "schlüssel".encode(), b"\xff"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error names the file and does not quote its content."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(InvalidRecord, match="token does not contain a token") as refused:
        open_client(options("--token-file", str(path)))
    assert "words" not in str(refused.value)


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing token file is named in the error."""
    with pytest.raises(InvalidRecord, match="--token-file"):
        open_client(options("--token-file", str(tmp_path / "nowhere")))
