import json
from typing import Any

import pytest

from serve.openapi.schema_text import resolve, shape_of, write

DOCUMENT = {
    "components": {"schemas": {"Name": {"type": "string"}, "Alias": {"$ref": "#/components/schemas/Name"}}}
}
ALIAS = {"$ref": "#/components/schemas/Alias"}


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer", "minimum": 0}, "integer >= 0"),
        ({"type": ["number", "null"]}, "number | null"),
        ({"enum": ["float", None]}, '"float" | null'),
        ({"type": "string", "const": "list"}, '"list"'),
        ({"type": "array", "items": {"type": "boolean"}}, "[boolean, ...]"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}]}, "[string, null]"),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, "string | array"),
        ({}, "anything"),
        ({"type": "object"}, "{}"),
        (ALIAS, "string"),
    ],
)
def test_a_schema_is_written_with_types_in_the_place_of_values(schema: dict[str, Any], shape: str) -> None:
    """A schema is written with types in the place of values."""
    assert shape_of(DOCUMENT, schema) == shape


def test_an_object_says_what_may_be_left_out() -> None:
    """Optional keys have a question mark, descriptions stand above, and additional keys stand last."""
    schema = {
        "type": "object",
        "properties": {"id": ALIAS, "rows": {"type": "integer", "minimum": 1, "description": "How many."}},
        "required": ["id"],
        "additionalProperties": {"type": "number"},
    }
    assert shape_of(DOCUMENT, schema).splitlines() == [
        "{",
        '  "id": string',
        "  // How many.",
        '  "rows"?: integer >= 1',
        "  ...: number",
        "}",
    ]


def test_a_reference_is_followed_to_its_end() -> None:
    """A reference to a reference is resolved to the schema itself."""
    assert resolve(DOCUMENT, ALIAS) == {"type": "string"}


def test_a_short_value_stays_on_its_line() -> None:
    """A short list of numbers is written on one line."""
    assert write({"shape": [1, 1, 8, 8]}) == '{"shape": [1, 1, 8, 8]}'


def test_a_long_value_is_broken_at_its_outermost_lists() -> None:
    """A long value is broken at its outermost lists, one row a line."""
    rows = [[0] * 8] * 8
    lines = write({"data": [rows]}).splitlines()
    assert lines == [
        "{",
        '  "data": [[',
        *["    [0, 0, 0, 0, 0, 0, 0, 0],"] * 7,
        "    [0, 0, 0, 0, 0, 0, 0, 0]",
        "  ]]",
        "}",
    ]


def test_what_is_written_is_still_the_value() -> None:
    """The written text parses to the same value."""
    value = {"text": "A “quoted” text, " * 9, "rows": [[0.5] * 30] * 3, "empty": [], "none": None}
    assert json.loads(write(value)) == value
