"""Request schemas: the bodies that are taken, as JSON Schema, with examples that work.

They refuse what the server refuses; where it takes null for absence, so do they.
"""

from typing import Any

from serve.openapi.answer_schemas import (
    DATATYPE,
    ELEMENTS,
    SCALAR,
    Schema,
    listed,
    mapped,
    or_null,
    record,
    text,
    whole,
)

_INFER_PARAMETERS = or_null(
    mapped(
        SCALAR,
        "What is not named here is let through and means nothing.",
        properties={
            "timeout": {
                "description": "Microseconds, after which the answer is of no use.",
                "anyOf": [whole(1), text(pattern="^0*[1-9][0-9]*$", maxLength=18)],
            },
            "priority": whole(0, "Taken, but all requests are equal."),
            "binary_data_output": {
                "type": "boolean",
                "description": "Answer outputs as bytes, unless they say otherwise.",
            },
        },
        # There are no sequences here, and reserved names.
        patternProperties={"^sequence_": {"enum": [0, False, ""]}},
        propertyNames={"not": {"pattern": "^(headers$|triton_)"}},
    )
)
_INPUT = record(
    {
        "name": text(),
        "datatype": DATATYPE,
        "shape": listed(whole(1)),
        "data": ELEMENTS,
        "parameters": or_null(mapped({})),
    },
    optional=("parameters",),
)
_WANTED_PARAMETERS = mapped(
    {},
    properties={
        "binary_data": {"type": ["boolean", "null"], "description": "Answer it as bytes."},
        "classification": or_null(
            whole(1, "Answer so many of the highest values, as strings `value:index[:label]`.")
        ),
    },
)
_WANTED = record({"name": text(), "parameters": or_null(_WANTED_PARAMETERS)}, optional=("parameters",))
_VARIANT = or_null(text("The variant; left out: all of them."))
_TOKENS = listed(whole(), minItems=1)

REQUESTS: dict[str, Schema] = {
    "InferRequest": record(
        {
            "inputs": listed(_INPUT, minItems=1),
            "outputs": or_null(listed(_WANTED, "The outputs to answer; none: all.")),
            "id": or_null(text("Comes back with the answer.")),
            "parameters": _INFER_PARAMETERS,
        },
        optional=("outputs", "id", "parameters"),
    ),
    "EmbeddingsRequest": record(
        {
            "model": text("The model; `name:variant` asks for one variant.", minLength=1),
            "input": {
                "description": "A text, several, the tokens of one, or the tokens of several.",
                "anyOf": [text(), listed(text(), minItems=1), _TOKENS, listed(_TOKENS, minItems=1)],
            },
            "encoding_format": {"enum": ["float", "base64", None]},
            "dimensions": or_null(whole(1, "The width; only the model's own is possible.")),
        },
        optional=("encoding_format", "dimensions"),
    ),
    "IndexRequest": record(
        {"ready": {"type": "boolean", "description": "Only what is ready."}},
        optional=("ready",),
        additionalProperties=False,
    ),
    "LoadRequest": record(
        {"parameters": record({"variant": _VARIANT}, optional=("variant",), additionalProperties=False)},
        optional=("parameters",),
        additionalProperties=False,
    ),
    "UnloadRequest": record(
        {
            "parameters": record(
                {
                    "variant": _VARIANT,
                    "unload_dependents": {"description": "Taken; nothing depends on a variant."},
                },
                optional=("variant", "unload_dependents"),
                additionalProperties=False,
            )
        },
        optional=("parameters",),
        additionalProperties=False,
    ),
}

# A handwritten zero as the digits model takes it: rows of an image, ink is 1.
_ZERO = [
    [0, 0, 1, 1, 1, 0, 0, 0],
    [0, 1, 1, 0, 1, 1, 0, 0],
    *[[0, 1, 0, 0, 0, 1, 0, 0]] * 4,
    [0, 1, 1, 0, 1, 1, 0, 0],
    [0, 0, 1, 1, 1, 0, 0, 0],
]
_IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [[_ZERO]]}

# By what they show. The models are those of the recipes.
INFER_EXAMPLES: dict[str, Any] = {
    "A handwritten zero": {"inputs": [_IMAGE]},
    "Its three likeliest digits, within half a second": {
        "id": "zero-1",
        "parameters": {"timeout": 500_000},
        "inputs": [_IMAGE],
        "outputs": [{"name": "logits", "parameters": {"classification": 3}}],
    },
}
EMBEDDINGS_EXAMPLES: dict[str, Any] = {
    "Two texts": {"model": "minilm", "input": ["A cat sat on the mat.", "Stocks fell on Monday."]},
    "One text, by one variant, as base64": {
        "model": "minilm:fp32",
        "input": "A cat sat on the mat.",
        "encoding_format": "base64",
    },
}
