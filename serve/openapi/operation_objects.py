"""Helpers that build the operations of the OpenAPI document, and the parts that operations share."""

from collections.abc import Iterable, Mapping
from typing import Any

from serve.openapi.json_schemas import Schema, ref

Operation = dict[str, Any]

_NAME = "^[a-z0-9][a-z0-9_.-]{0,62}$"
# The name of a model, a date, a time, and four hexadecimal digits.
_ROLLOUT = "^[a-z0-9][a-z0-9_.-]{0,83}$"
# For operations that may need a token; this depends on how the server was started.
TOKEN: dict[str, Any] = {"security": [{"token": []}, {}]}
SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token from the file that the server was started with (`--tokens`).",
    }
}
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer", "minimum": 0}
# The headers of every answer.
_TRACKED = ("x-request-id", "traceparent")


def operation(
    tag: str, summary: str, answers: Mapping[str, Any], errors: Iterable[str] = (), **fields: Any
) -> Operation:
    """Build an operation: `answers` by status, `errors` as names of shared responses, and other fields of
    OpenAPI."""
    # Long headers are refused before the path is read, so every operation can answer 431.
    refused = {name[-3:]: {"$ref": f"#/components/responses/{name}"} for name in (*errors, "431")}
    responses = dict(sorted({**answers, **refused}.items()))
    return {"tags": [tag], "summary": summary, **fields, "responses": responses}


def shared(*names: str) -> list[dict[str, str]]:
    """References to shared parameters."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def answer(description: str, *media_types: str, **media: Any) -> dict[str, Any]:
    """An answer with these media types, each with the same fields."""
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _TRACKED}
    return {"description": description, "headers": headers, "content": dict.fromkeys(media_types, media)}


def json_answer(description: str, schema: str, **media: Any) -> dict[str, Any]:
    """A JSON answer with the named schema."""
    return answer(description, "application/json", schema=ref(schema), **media)


def json_body(schema: str, examples: Mapping[str, Any], *, required: bool = True) -> dict[str, Any]:
    """A JSON body with the named schema; `examples` maps descriptions to bodies."""
    named = {
        f"example-{number}": {"summary": summary, "value": value}
        for number, (summary, value) in enumerate(examples.items(), 1)
    }
    return {"required": required, "content": {"application/json": {"schema": ref(schema), "examples": named}}}


def _path(name: str, description: str, example: str, pattern: str = _NAME) -> dict[str, Any]:
    content = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}
    return content | {"description": description, "example": example}


def _header(name: str, schema: Schema, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": schema, "description": description}


PARAMETERS = {
    "Model": _path("model", "The model.", "digits"),
    "Variant": _path("variant", "The variant, which is the protocol's version.", "fp32"),
    "File": {
        "name": "file",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[a-z]+\.(css|html|js|svg)$"},
        "description": "One of the files of the page.",
        "example": "main.js",
    },
    "Rollout": _path("rollout", "The rollout.", "digits-20261122-152000-3f9a", _ROLLOUT),
    "After": {
        "name": "after",
        "in": "query",
        "schema": _WHOLE | {"maximum": 10**18 - 1},
        "description": "The number of the last entry that you already have; 0: none.",
    },
    "Key": _header(
        "x-counterweight-key",
        _TEXT,
        "Requests with the same key get the same variant, as long as the routes do not change.",
    ),
    "Timeout": _header(
        "x-request-timeout-seconds",
        {"type": "number", "exclusiveMinimum": 0},
        "The timeout of the request. After it, the answer is 504, and the request is not run.",
    ),
    "RequestId": _header(
        "x-request-id",
        _TEXT,
        "Returned with the answer and written to the access log: 1 to 128 visible ASCII characters; an "
        "invalid value is replaced.",
    ),
    "Traceparent": _header("traceparent", _TEXT, "The caller's span, in the format of W3C Trace Context."),
    "JsonBytes": _header(
        "Inference-Header-Content-Length",
        _WHOLE,
        "The size of the JSON in bytes, if tensors follow it as bytes.",
    ),
}
HEADERS = {
    "www-authenticate": {"description": "How to authenticate.", "schema": _TEXT},
    "x-request-id": {"description": "The id of the request, or a new one.", "schema": _TEXT},
    "traceparent": {"description": "The server's span.", "schema": _TEXT},
    "retry-after": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
_ERRORS = {
    "202": "Not an error: the change is in force, and will be written to the store later.",
    "400": "The request does not fit the protocol or the model.",
    "401": "A token is needed, and the request has none or an unknown one.",
    "403": "The role of the token is not sufficient, access is closed, or a page of another site sent this.",
    "404": "There is no such model, variant or rollout.",
    "409": "This is not possible in the present state.",
    "413": "The body is too large, before or after decompression.",
    "415": "The compression or the content type of the body is not supported.",
    "429": "The rate limit for changes was exceeded.",
    "431": "The headers are too large.",
    "500": "The model failed.",
    "503": "Too many requests are waiting, or the variant, the keeper or its store is not running.",
    "504": "The deadline passed before the answer was ready.",
}


def error_responses() -> dict[str, Any]:
    """All errors, by status; in OpenAI's format under `OpenAI` and the status."""
    responses = {status: json_answer(description, "Error") for status, description in _ERRORS.items()}
    responses |= {
        f"OpenAI{status}": json_answer(description, "OpenAIError") for status, description in _ERRORS.items()
    }
    responses["409"] = json_answer(_ERRORS["409"], "Conflict")
    for prefix in ("", "OpenAI"):
        for status, header in (("401", "www-authenticate"), ("429", "retry-after"), ("503", "retry-after")):
            headers = responses[prefix + status]["headers"]
            headers[header] = {"$ref": f"#/components/headers/{header}"}
    return responses
