"""The protocol's model repository, as HTTP asks for it."""

from typing import Any

import httpx2
import pytest

from serve.base.errors import InvalidBundle, InvalidRequest, RejectedBundle, UnknownModel, VariantUnavailable
from tests.serve.endpoint import Endpoint, Told

BASE = {"name": "linear", "version": "base", "state": "READY", "reason": ""}


def post(endpoint: Endpoint, path: str, body: Any = None) -> httpx2.Response:
    return endpoint.client.post(f"/v2/repository/{path}", content=body)


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"ready": false}'])
def test_the_index_lists_everything(endpoint: Endpoint, body: bytes | None) -> None:
    """The index lists each variant with its state and reason, with or without a body."""
    answer = post(endpoint, "index", body)
    assert answer.status_code == 200
    assert [entry["version"] for entry in answer.json()] == ["base", "poor"]
    assert answer.json()[0] == BASE


def test_the_index_lists_what_is_ready(endpoint: Endpoint) -> None:
    """With `ready: true` the index has only ready variants."""
    assert post(endpoint, "index", b'{"ready": true}').json() == [BASE]


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize(
    ("body", "variant"),
    [
        (None, None),
        (b"{}", None),
        (b'{"parameters": {}}', None),
        (b'{"parameters": {"variant": "light"}}', "light"),
        (b'{"parameters": {"variant": null}}', None),
    ],
)
def test_a_model_or_a_variant_is_loaded_and_unloaded(
    endpoint: Endpoint, verb: str, body: bytes | None, variant: str | None
) -> None:
    """A load or unload reaches the repository and answers {}."""
    answer = post(endpoint, f"models/linear/{verb}", body)
    expected: Told = [(verb, "linear", variant)]
    assert (answer.status_code, answer.json(), endpoint.shelf.told) == (200, {}, expected)


def test_tritons_own_word_for_the_rest_is_taken(endpoint: Endpoint) -> None:
    """The parameter `unload_dependents` of Triton's client is accepted."""
    assert (
        post(endpoint, "models/linear/unload", b'{"parameters": {"unload_dependents": false}}').status_code
        == 200
    )


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("index", b"{", "the body is not JSON"),
        ("index", b"[]", "no other keys than ready"),
        ("index", b'{"redy": true}', "no other keys than ready"),
        ("index", b'{"ready": 1}', "'ready' is a whole number, expected true or false"),
        ("models/linear/load", b'{"variant": "light"}', "no other keys than parameters"),
        ("models/linear/load", b'{"parameters": []}', "'parameters' is a list, expected an object"),
        ("models/linear/load", b'{"parameters": {"variant": 1}}', "'variant' is a whole number"),
        ("models/linear/load", b'{"parameters": {"config": "{}"}}', "parameter 'config' is not"),
        ("models/linear/unload", b"\xff", "the body is not JSON"),
    ],
)
def test_what_cannot_be_meant_is_400(endpoint: Endpoint, path: str, body: bytes, message: str) -> None:
    """An invalid body gives a 400 and changes nothing."""
    answer = post(endpoint, path, body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert endpoint.shelf.told == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownModel("no model 'linear'"), 404),
        (InvalidBundle("its digest is wrong"), 400),
        (RejectedBundle("it was rejected"), 400),
        (InvalidRequest("it is the baseline"), 400),
        (VariantUnavailable("the keeper does not answer"), 503),
    ],
    ids=repr,
)
def test_what_went_wrong_is_told(endpoint: Endpoint, error: Exception, status: int) -> None:
    """An error of the repository is answered with its status and message."""
    endpoint.shelf.error = error
    answer = post(endpoint, "models/linear/load")
    assert (answer.status_code, answer.json()) == (status, {"error": str(error)})


def test_only_post_changes_anything(endpoint: Endpoint) -> None:
    """A GET on a load gives 405 and does nothing."""
    assert endpoint.client.get("/v2/repository/models/linear/load").status_code == 405
    assert endpoint.shelf.told == []
