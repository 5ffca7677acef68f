"""Generate JSON Schemas from types."""

from types import GenericAlias
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, core_schema

Schema = dict[str, Any]
Kinds = tuple[Any, ...]


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles of fields, which only repeat their names."""

    def field_title_should_be_set(self, schema: CoreSchema | core_schema.ModelField) -> bool:
        return False


def ref(name: str) -> Schema:
    """A reference to a schema in the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_schemas(request_types: Kinds, answer_types: Kinds) -> dict[str, Schema]:
    """The schemas of all these types, and of the types in them, by name: `request_types` as the server reads
    them, `answer_types` as it writes them."""
    _, found = TypeAdapter.json_schemas(
        [("asked", "validation", _adapt(request_types)), ("answered", "serialization", _adapt(answer_types))],
        ref_template=ref("{model}")["$ref"],
        schema_generator=_Untitled,
    )
    schemas: dict[str, Schema] = found["$defs"]
    return schemas


def _adapt(kinds: Kinds) -> TypeAdapter[Any]:
    # The configuration of a tuple also holds for the types in it, unless they have their own.
    together: Any = GenericAlias(tuple, kinds)
    return TypeAdapter(together, config=ConfigDict(use_attribute_docstrings=True))
