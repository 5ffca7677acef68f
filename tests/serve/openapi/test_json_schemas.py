from typing import Any, NotRequired

import pytest
from jsonschema import Draft202012Validator
from typing_extensions import TypedDict

from serve.app.openapi import openapi
from serve.openapi.json_schemas import json_schemas

DOCUMENT = openapi()


class Inner(TypedDict, closed=True):
    """An inner thing."""

    rows: NotRequired[int]


class Outer(TypedDict):
    """An outer thing."""

    inner: Inner
    name: str
    """The name."""


def valid(name: str, value: Any) -> bool:
    """Whether the component `name` of the document accepts `value`."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return Draft202012Validator(schema).is_valid(value)


def test_a_schema_has_the_descriptions_of_its_type() -> None:
    """The docstrings of the class and of its fields; types in it have schemas of their own."""
    schemas = json_schemas((Outer,), ())
    assert schemas["Outer"]["description"] == "An outer thing."
    assert schemas["Outer"]["properties"] == {
        "inner": {"$ref": "#/components/schemas/Inner"},
        "name": {"type": "string", "description": "The name."},
    }
    assert schemas["Outer"]["required"] == ["inner", "name"]
    assert schemas["Inner"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("EmbeddingsBody", {"model": "minilm", "input": [[1, 2], [3]], "dimensions": None}, True),
        ("EmbeddingsBody", {"model": "minilm", "input": []}, False),
        ("EmbeddingsBody", {"model": "", "input": "A cat."}, False),
        ("EmbeddingsBody", {"model": "minilm", "input": "A cat.", "encoding_format": "hex"}, False),
        ("LoadBody", {"parameters": {"variant": None}}, True),
        ("LoadBody", {"parameters": {"config": "{}"}}, False),
        ("UnloadBody", {"parameters": {"unload_dependents": True}}, True),
        ("IndexBody", {"ready": "yes"}, False),
        ("IndexBody", {"all": True}, False),
        ("DescribedTensor", {"name": "x", "datatype": "FP32", "shape": [-1, 4]}, True),
        ("DescribedTensor", {"name": "x", "datatype": "FP8", "shape": [4]}, False),
        ("DescribedTensor", {"name": "x", "datatype": "FP32", "shape": [-2]}, False),
        ("OutputTensor", {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [[1.0, 2.0]]}, False),
        ("Trail", {"entries": [{}]}, False),
    ],
)
def test_a_type_refuses_what_the_server_refuses_or_never_sends(
    name: str, value: object, accepted: bool
) -> None:
    """The schema of a type rejects what the server rejects or never sends, and accepts all else."""
    assert valid(name, value) == accepted
