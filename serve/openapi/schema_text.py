"""Format a JSON Schema, or a value, as readable lines."""

import json
from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

_WIDTH = 76


def resolve(document: Document, node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node, or the node that it refers to."""
    while "$ref" in node:
        target: Any = document
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        node = target
    return node


def shape_of(document: Document, schema: Mapping[str, Any], indent: str = "") -> str:
    """The schema as JSON with types in place of values, and with descriptions as comments."""
    schema = resolve(document, schema)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(shape_of(document, option, indent) for option in schema["anyOf"])
    kinds = schema.get("type", "anything")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " | ".join(_shape_of_kind(document, schema, kind, indent) for kind in kinds)


def _shape_of_kind(document: Document, schema: Mapping[str, Any], kind: str, indent: str) -> str:
    if kind == "array" and (places := schema.get("prefixItems")):
        return f"[{', '.join(shape_of(document, place, indent) for place in places)}]"
    if kind == "array" and schema.get("items"):
        return f"[{shape_of(document, schema['items'], indent)}, ...]"
    if kind == "object":
        return _shape_of_object(document, schema, indent)
    if kind == "integer" and "minimum" in schema:
        return f"integer >= {schema['minimum']}"
    return kind


def _shape_of_object(document: Document, schema: Mapping[str, Any], indent: str) -> str:
    inner = indent + "  "
    lines: list[str] = []
    for name, value in schema.get("properties", {}).items():
        if description := resolve(document, value).get("description"):
            lines.append(f"{inner}// {' '.join(description.split())}")
        mark = "" if name in schema.get("required", ()) else "?"
        lines.append(f'{inner}"{name}"{mark}: {shape_of(document, value, inner)}')
    if isinstance(others := schema.get("additionalProperties"), Mapping):
        lines.append(f"{inner}...: {shape_of(document, others, inner)}")
    return "\n".join(["{", *lines, indent + "}"]) if lines else "{}"


def write(value: Any, indent: str = "") -> str:
    """The value as JSON, split into lines only if one would be too long."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        items = [f"{inner}{json.dumps(key)}: {write(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if len(value) == 1:
        return f"[{write(value[0], indent)}]"
    items = [f"{inner}{write(item, inner)}" for item in value]
    return "[\n" + ",\n".join(items) + f"\n{indent}]"
