"""Variants that were loaded while a load test ran."""

import json

from loadtests.sending.model_metadata import ModelMetadata
from loadtests.sending.new_variants import Newcomers
from tests.loadtests.fake_server import METADATA

_NOW = json.dumps({**METADATA, "versions": ["fp32", "int8", "slim"]}).encode()


def test_a_variant_that_the_server_has_now_is_known() -> None:
    """A newly loaded variant is added behind the known ones."""
    newcomers = Newcomers()
    assert newcomers.has("slim", lambda: _NOW)
    joined = newcomers.joined(ModelMetadata.model_validate(METADATA))
    assert joined.versions == ("fp32", "int8", "slim")


def test_the_server_is_asked_once_about_each() -> None:
    """The server is asked once per variant name, whether the variant exists or not."""
    newcomers, asked = Newcomers(), []

    def ask() -> bytes:
        asked.append(1)
        return _NOW

    assert [newcomers.has("slim", ask) for _ in range(3)] == [True] * 3
    assert [newcomers.has("other", ask) for _ in range(3)] == [False] * 3
    assert len(asked) == 2


def test_what_is_no_metadata_names_no_variant() -> None:
    """A body that is not metadata names no variant."""
    assert not Newcomers().has("slim", lambda: b"<html>")
