"""Operations: the words in which the OpenAPI document says what can be asked, and what they all share."""

from collections.abc import Iterable, Mapping
from typing import Any

from serve.openapi.answer_schemas import Schema, ref, text, whole

Operation = dict[str, Any]

_NAME = "^[a-z0-9][a-z0-9_.-]{0,62}$"
# Beside the name of a model: a date, a time, and four digits.
_ROLLOUT = "^[a-z0-9][a-z0-9_.-]{0,83}$"
# Of operations that may ask who asks; whether they do is for each server to say.
TOKEN: dict[str, Any] = {"security": [{"token": []}, {}]}
SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the file that the server was started with (`--tokens`).",
    }
}
# Of every answer.
_TRACKED = ("x-request-id", "traceparent")


def operation(
    tag: str, summary: str, answers: Mapping[str, Any], errors: Iterable[str] = (), **fields: Any
) -> Operation:
    """One operation: `answers` by status, `errors` by their names among the shared ones, other fields as
    OpenAPI has them."""
    # Headers that are too long are refused before anybody looks at the path.
    refused = {name[-3:]: {"$ref": f"#/components/responses/{name}"} for name in (*errors, "431")}
    responses = dict(sorted({**answers, **refused}.items()))
    return {"tags": [tag], "summary": summary, **fields, "responses": responses}


def shared(*names: str) -> list[dict[str, str]]:
    """The shared parameters of these names."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def answer(description: str, *media_types: str, **media: Any) -> dict[str, Any]:
    """An answer of one of these media types, each with the same fields."""
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _TRACKED}
    return {"description": description, "headers": headers, "content": dict.fromkeys(media_types, media)}


def json_answer(description: str, schema: str, **media: Any) -> dict[str, Any]:
    """An answer in JSON, as the schema of that name says."""
    return answer(description, "application/json", schema=ref(schema), **media)


def json_body(schema: str, examples: Mapping[str, Any], *, required: bool = True) -> dict[str, Any]:
    """A body in JSON, as the schema of that name says; `examples` by what they show."""
    named = {
        f"example-{number}": {"summary": summary, "value": value}
        for number, (summary, value) in enumerate(examples.items(), 1)
    }
    return {"required": required, "content": {"application/json": {"schema": ref(schema), "examples": named}}}


def _path(name: str, description: str, example: str, pattern: str = _NAME) -> dict[str, Any]:
    content = {"name": name, "in": "path", "required": True, "schema": text(pattern=pattern)}
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
        "schema": text(pattern=r"^[a-z]+\.(css|html|js|svg)$"),
        "description": "One of the files that the page asks for.",
        "example": "main.js",
    },
    "Rollout": _path("rollout", "The rollout.", "digits-20261122-152000-3f9a", _ROLLOUT),
    "After": {
        "name": "after",
        "in": "query",
        "schema": whole() | {"maximum": 10**18 - 1},
        "description": "The number of the last entry that is known already; 0: none is.",
    },
    "Key": _header(
        "x-counterweight-key",
        text(),
        "Requests with the same key get the same variant, as long as the routes stay.",
    ),
    "Timeout": _header(
        "x-request-timeout-seconds",
        {"type": "number", "exclusiveMinimum": 0},
        "After so long the answer is of no use: it is 504, and no run is spent on it.",
    ),
    "RequestId": _header(
        "x-request-id",
        text(),
        "Comes back with the answer and stands in the access log: 1 to 128 visible ASCII characters, "
        "anything else is replaced.",
    ),
    "Traceparent": _header("traceparent", text(), "The caller's span, as W3C Trace Context writes it."),
    "JsonBytes": _header(
        "Inference-Header-Content-Length",
        whole(),
        "The size of the JSON in bytes, when tensors come as bytes behind it.",
    ),
}
HEADERS = {
    "www-authenticate": {"description": "How to show who asks.", "schema": text()},
    "x-request-id": {"description": "The request's own, or a new one.", "schema": text()},
    "traceparent": {"description": "The server's span.", "schema": text()},
    "retry-after": {"description": "Seconds, after which another try may pay.", "schema": whole(1)},
}
_ERRORS = {
    "202": "No error: it is in force, and is written down later.",
    "400": "The request does not fit the protocol or the model.",
    "401": "A token is needed here, and none came, or one that is not known.",
    "403": "The token's role does not suffice, this is closed, or a page of another site asks.",
    "404": "There is no such model, variant or rollout.",
    "409": "It does not fit what is in force now.",
    "413": "The body, or what it unpacks to, is too large.",
    "415": "The body is packed in a way that is not known here, or of a kind that is not taken.",
    "429": "More changes came than are taken in a second.",
    "431": "The headers are too large.",
    "500": "The model failed.",
    "503": "Too many requests wait, or the variant, the keeper or its store is not up.",
    "504": "The time was up before the answer was there.",
}


def error_responses() -> dict[str, Any]:
    """Every error: ours by its status, and in OpenAI's form under `OpenAI` and its status."""
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
