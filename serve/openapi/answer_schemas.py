"""JSON Schemas of the answers, and helpers to write schemas."""

from typing import Any, get_args

from serve.base.tensor import DATATYPES
from serve.engine.catalog import State

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to a schema in the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(description: str | None = None, **rest: Any) -> Schema:
    """A string."""
    return _described({"type": "string"} | rest, description)


def whole(minimum: int = 0, description: str | None = None) -> Schema:
    """A whole number from `minimum` up."""
    return _described({"type": "integer", "minimum": minimum}, description)


def number(description: str | None = None, **rest: Any) -> Schema:
    """A number."""
    return _described({"type": "number"} | rest, description)


def listed(items: Schema, description: str | None = None, **rest: Any) -> Schema:
    """A list of `items`."""
    return _described({"type": "array", "items": items} | rest, description)


def record(properties: dict[str, Schema], optional: tuple[str, ...] = (), **rest: Any) -> Schema:
    """An object with these properties; all are required except the `optional` ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required} | rest


def mapped(values: Schema, description: str | None = None, **rest: Any) -> Schema:
    """An object from names to `values`."""
    return _described({"type": "object", "additionalProperties": values} | rest, description)


def or_null(schema: Schema) -> Schema:
    """`schema`, or null."""
    return schema | {"type": [schema["type"], "null"]}


def _described(schema: Schema, description: str | None) -> Schema:
    return schema if description is None else schema | {"description": description}


DATATYPE = text(enum=list(DATATYPES))
ELEMENTS = listed(
    {"type": ["boolean", "number", "string", "array"]},
    "The elements, row-major, flat or nested as in the shape. FP16 and BF16 can only be sent as bytes.",
)
SCALAR: Schema = {"type": ["boolean", "number", "string"]}
_DIMENSIONS = listed(whole(-1), "-1 for a dimension that may vary.")
_TENSOR = record({"name": text(), "datatype": DATATYPE, "shape": _DIMENSIONS})
_INPUT = record(
    {
        "name": text(),
        "datatype": DATATYPE,
        "shape": _DIMENSIONS,
        "example_shape": listed(whole(1), "A valid shape of one row, if dimensions vary."),
    },
    optional=("example_shape",),
)
_CONFIGURED = record({"name": text(), "data_type": text(), "dims": _DIMENSIONS})
_OUTPUT = record(
    {
        "name": text(),
        "datatype": DATATYPE,
        "shape": listed(whole()),
        "data": ELEMENTS,
        "parameters": record({"binary_data_size": whole(0, "The number of its bytes after the JSON.")}),
    },
    optional=("data", "parameters"),
)
_STEPS = ("compute_input", "compute_infer", "compute_output")
_CODE: Schema = {"type": ["string", "null"]}

ANSWERS: dict[str, Schema] = {
    "Error": record({"error": text("The value, what was expected, and what to do.")}),
    "OpenAIError": record(
        {"error": record({"message": text(), "type": text(), "param": _CODE, "code": _CODE})}
    ),
    "ServerMetadata": record({"name": text(), "version": text(), "extensions": listed(text())}),
    "Live": record({"live": {"type": "boolean"}}),
    "Ready": record(
        {
            "ready": {"type": "boolean"},
            "judging": {
                "type": "boolean",
                "description": "False: a rollout is in progress, and no keeper judges it.",
            },
            "judged_until_s": number("The time of the last judgement, in seconds since 1970."),
        },
        optional=("judging", "judged_until_s"),
    ),
    "ModelReady": record({"name": text(), "ready": {"type": "boolean"}}),
    "ModelMetadata": record(
        {
            "name": text(),
            "versions": listed(text(), "The variants."),
            "platform": text(),
            "inputs": listed(_INPUT),
            "outputs": listed(_TENSOR),
            "parameters": record(
                {
                    "max_body_bytes": whole(1, "A larger body is refused with 413."),
                    "row_json_bytes": whole(0, "The approximate size of one row as JSON."),
                    "row_binary_bytes": whole(0, "The size of one row as bytes after the JSON."),
                    "max_tokens": whole(
                        1,
                        "Longer texts are truncated. For another dimension, `max_...` is the largest size.",
                    ),
                },
                optional=("row_json_bytes", "row_binary_bytes", "max_tokens"),
            ),
            "unserved": {
                "type": "object",
                "additionalProperties": text(
                    "The reason: it was rejected, could not be loaded, or was unloaded."
                ),
                "description": "Variants in the repository that are not served.",
            },
        },
        optional=("unserved",),
    ),
    "ModelConfig": record(
        {
            "name": text(),
            "platform": text(),
            "backend": text(),
            "version_policy": {"type": "object"},
            "max_batch_size": whole(0, "0: the model has no batch dimension."),
            "input": listed(_CONFIGURED),
            "output": listed(_CONFIGURED),
        }
    ),
    "InferAnswer": record(
        {
            "model_name": text(),
            "model_version": text("The variant that answered."),
            "id": text("The id of the request."),
            "parameters": mapped(
                SCALAR,
                "`rescued_from`: this variant failed, and the baseline answered. `retried`: the second try "
                "succeeded. `truncated_rows`: the number of truncated texts.",
            ),
            "outputs": listed(_OUTPUT),
        },
        optional=("id", "parameters"),
    ),
    "Duration": record({"count": whole(), "ns": whole()}),
    "Statistics": record({"model_stats": listed(ref("VariantStatistics"))}),
    "VariantStatistics": record(
        {
            "name": text("The model."),
            "version": text("The variant."),
            "last_inference": whole(0, "Milliseconds since 1970; 0: none yet."),
            "inference_count": whole(0, "Rows."),
            "execution_count": whole(0, "Runs."),
            "inference_stats": mapped(ref("Duration")),
            "response_stats": {"type": "object"},
            "batch_stats": listed(
                record({"batch_size": whole(1)} | {step: ref("Duration") for step in _STEPS})
            ),
            "memory_usage": listed({}),
        }
    ),
    "Index": listed(
        record(
            {
                "name": text("The model."),
                "version": text("The variant."),
                "state": text(enum=list(get_args(State))),
                "reason": text("Why it is not ready."),
            }
        )
    ),
    "Embeddings": record(
        {
            "object": text(const="list"),
            "data": listed(
                record(
                    {
                        "object": text(const="embedding"),
                        "index": whole(),
                        "embedding": {
                            "description": "Numbers, or base64 of little-endian float32.",
                            "anyOf": [listed(number()), text()],
                        },
                    }
                )
            ),
            "model": text("The model and the variant that answered, `name:variant`."),
            "usage": record({"prompt_tokens": whole(), "total_tokens": whole()}),
            "parameters": mapped(SCALAR, "As in the answers of `infer`."),
        },
        optional=("parameters",),
    ),
    "Done": {"type": "object"},
    "Document": {"type": "object"},
}

# The answers to the first examples.
INFER_ANSWER = {
    "model_name": "digits",
    "model_version": "fp32",
    "outputs": [
        {
            "name": "logits",
            "datatype": "FP32",
            "shape": [1, 10],
            "data": [6.1, -4.2, 1.8, -0.5, -4.7, 1.8, -2.4, -5.2, -0.5, -2.5],
        }
    ],
}
EMBEDDINGS_ANSWER = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.1310, 0.0159, -0.0501]},
        {"object": "embedding", "index": 1, "embedding": [-0.0343, -0.0127, 0.0484]},
    ],
    "model": "minilm:fp32",
    "usage": {"prompt_tokens": 15, "total_tokens": 15},
}
