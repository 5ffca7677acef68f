from typing import Any

import pytest

from loadtests.errors import LoadTestError
from loadtests.sending.client import Client
from loadtests.sending.model_metadata import ModelMetadata, model_path, read_metadata


def test_reads_what_the_server_says(serve: Any, metadata: ModelMetadata) -> None:
    """The metadata has the server's name, variants and signature, without its additional keys."""
    assert read_metadata(Client(url=serve().url), "digits") == metadata


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"name": "digits"}, "is not valid model metadata of the protocol: inputs: Field required"),
        ([], "is not valid model metadata of the protocol"),
        ({"name": "other", "inputs": [], "outputs": []}, "describes 'other', expected 'digits'"),
    ],
    ids=str,
)
def test_other_json_is_told_from_metadata(desk: Any, content: Any, complaint: str) -> None:
    """JSON that is not metadata is refused."""
    with pytest.raises(LoadTestError, match=complaint):
        read_metadata(Client(url=desk({"/v2/models/digits": (200, content)})), "digits")


def test_missing_versions_are_none() -> None:
    """`versions` may be missing or null."""
    tensors: dict[str, Any] = {"inputs": [], "outputs": []}
    assert ModelMetadata.model_validate({"name": "m", "versions": None, **tensors}).versions == ()
    assert ModelMetadata.model_validate({"name": "m", **tensors}).versions == ()


def test_names_are_escaped_in_paths() -> None:
    """A slash in a name is percent-encoded."""
    assert model_path("a/b", "c d") == "/v2/models/a%2Fb/versions/c%20d"
