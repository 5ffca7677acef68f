import socket
from typing import Any

import pytest

from loadtests.errors import LoadTestError
from loadtests.metadata import ModelMetadata, model_path, read_metadata


def test_reads_what_the_server_says(serve: Any, metadata: ModelMetadata) -> None:
    """Name, variants and signature come from the wire; the server's extra keys do no harm."""
    assert read_metadata(serve().url, "digits") == metadata


def test_a_refused_connection_is_told() -> None:
    """Where nobody listens, the message asks whether the server is up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(LoadTestError, match=r"does not answer: .*refused; is the server up"):
        read_metadata(url, "digits")


def test_html_is_told_from_the_protocol(serve: Any) -> None:
    """A web page is no model server."""
    with pytest.raises(LoadTestError, match="answered 200 with text/html; charset=utf-8 instead of JSON"):
        read_metadata(f"{serve().url}/html", "digits")


def test_an_unknown_model_is_told_in_the_servers_words(serve: Any) -> None:
    """The 404's own text reaches the person."""
    with pytest.raises(LoadTestError, match="answered 404: no such model; known: digits; check --model"):
        read_metadata(serve().url, "digit")


def test_a_plain_404_is_told(serve: Any) -> None:
    """A wrong path on a web server is not mistaken for a missing model."""
    with pytest.raises(LoadTestError, match="answered 404 with text/plain; charset=utf-8 instead of JSON"):
        read_metadata(f"{serve().url}/elsewhere", "digits")


def test_missing_versions_are_none() -> None:
    """`versions` is optional in the protocol, and null is what some servers send."""
    tensors: dict[str, Any] = {"inputs": [], "outputs": []}
    assert ModelMetadata.model_validate({"name": "m", "versions": None, **tensors}).versions == ()
    assert ModelMetadata.model_validate({"name": "m", **tensors}).versions == ()


def test_names_are_escaped_in_paths() -> None:
    """A slash in a name stays inside its segment."""
    assert model_path("a/b", "c d") == "/v2/models/a%2Fb/versions/c%20d"
