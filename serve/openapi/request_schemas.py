"""JSON Schemas of the request bodies, with examples that work.

They refuse what the server refuses, and accept null where the server accepts it for a missing value.
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
        "Other parameters are accepted and ignored.",
        properties={
            "timeout": {
                "description": "The timeout in microseconds.",
                "anyOf": [whole(1), text(pattern="^0*[1-9][0-9]*$", maxLength=18)],
            },
            "priority": whole(0, "Accepted, but all requests have the same priority."),
            "binary_data_output": {
                "type": "boolean",
                "description": "Return outputs as bytes by default.",
            },
        },
        # Sequences are not supported, and some names are reserved.
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
        "binary_data": {"type": ["boolean", "null"], "description": "Return the output as bytes."},
        "classification": or_null(
            whole(1, "Return this many of the highest values, as strings `value:index[:label]`.")
        ),
    },
)
_WANTED = record({"name": text(), "parameters": or_null(_WANTED_PARAMETERS)}, optional=("parameters",))
_VARIANT = or_null(text("The variant; by default all variants."))
_TOKENS = listed(whole(), minItems=1)

REQUESTS: dict[str, Schema] = {
    "InferRequest": record(
        {
            "inputs": listed(_INPUT, minItems=1),
            "outputs": or_null(listed(_WANTED, "The outputs to return; by default all.")),
            "id": or_null(text("Returned with the answer.")),
            "parameters": _INFER_PARAMETERS,
        },
        optional=("outputs", "id", "parameters"),
    ),
    "EmbeddingsRequest": record(
        {
            "model": text("The model, or `name:variant` for one variant.", minLength=1),
            "input": {
                "description": "One or more texts, or the tokens of one or more texts.",
                "anyOf": [text(), listed(text(), minItems=1), _TOKENS, listed(_TOKENS, minItems=1)],
            },
            "encoding_format": {"enum": ["float", "base64", None]},
            "dimensions": or_null(whole(1, "The width of the embeddings, which must be the model's own.")),
        },
        optional=("encoding_format", "dimensions"),
    ),
    "IndexRequest": record(
        {"ready": {"type": "boolean", "description": "List only variants that are ready."}},
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
                    "unload_dependents": {
                        "description": "Accepted and ignored; no model depends on another."
                    },
                },
                optional=("variant", "unload_dependents"),
                additionalProperties=False,
            )
        },
        optional=("parameters",),
        additionalProperties=False,
    ),
}

# A handwritten zero as an input of the digits model: the rows of an image, with ink as 1.
_ZERO = [
    [0, 0, 1, 1, 1, 0, 0, 0],
    [0, 1, 1, 0, 1, 1, 0, 0],
    *[[0, 1, 0, 0, 0, 1, 0, 0]] * 4,
    [0, 1, 1, 0, 1, 1, 0, 0],
    [0, 0, 1, 1, 1, 0, 0, 0],
]
_IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [[_ZERO]]}

# Description -> body. The models are those of the recipes.
INFER_EXAMPLES: dict[str, Any] = {
    "A handwritten zero": {"inputs": [_IMAGE]},
    "The three most likely digits, within half a second": {
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
