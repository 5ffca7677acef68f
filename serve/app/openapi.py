"""The OpenAPI document of all HTTP routes."""

import importlib.metadata
from typing import Any

from serve.control.control_paths import control_paths
from serve.control.control_types import CONTROL_ANSWERS, CONTROL_BODIES
from serve.http.openai_types import Embeddings, EmbeddingsBody, OpenAIError
from serve.oip.answer_types import ANSWERS
from serve.oip.request_types import BODIES
from serve.openapi import protocol_examples as shown
from serve.openapi.json_schemas import json_schemas
from serve.openapi.operation_objects import (
    HEADERS,
    PARAMETERS,
    SECURITY,
    TOKEN,
    Operation,
    answer,
    error_responses,
    json_answer,
    json_body,
    operation,
    shared,
)

_ABOUT = """
Counterweight serves models over the Open Inference Protocol, each in several variants: the baseline and
compressed forms of it. The routes of a model set the share of requests that each variant gets. A variant is
the protocol's version: a path with the name of a variant selects it, whatever the routes say.

Any request may have `x-request-id` and `traceparent`, and every answer has both. An error is
`{"error": "..."}`; its message names the value, what was expected, and what to do. An unknown path gives 404,
a wrong method 405.

If the server was started with `--tokens`, send the header `authorization: Bearer TOKEN`. The role `view` can
read everything, and `operate` can also change it. If a token has the role `infer`, inference needs a token
with `infer` or `operate`. Without tokens, programs on the server's own machine have full access. If a server
without tokens also listens on other addresses, only inference is open: control, metrics, load and unload are
closed. Health is always open.
"""
_TAGS = {
    "Inference": "Send arrays or texts, get arrays.",
    "Embeddings": (
        "Send texts, get vectors, in the format of OpenAI: an existing client needs only another URL."
    ),
    "Models": "The served models, their inputs and outputs, and their statistics.",
    "Health": "Whether a request can be answered now.",
    "Repository": "Load and unload models while requests are served; no request fails because of it.",
    "Control": "How traffic is split and moved, and what was counted. Reading needs the role `view`, changes "
    "need `operate`. A body is JSON, and its `content-type` must say so, even if the body may be empty.",
    "Server": "The dashboard, this page, and metrics.",
}
_BINARY = """
The routes choose the variant, unless the path names one.

Tensors can be sent as bytes after the JSON, in requests and in answers. `Inference-Header-Content-Length`
gives the size of the JSON. An input with the parameter `binary_data_size` takes that number of the following
bytes, and an output with `binary_data: true` is returned as bytes. If the header is 0, the body is one row of
the model's only input.

A body can be compressed with gzip or deflate (`Content-Encoding`), and the answer is compressed if
`Accept-Encoding` allows it.
"""
_BYTES: dict[str, Any] = {"application/octet-stream": {}}


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document as JSON data."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Counterweight",
            "version": importlib.metadata.version("counterweight"),
            "description": _ABOUT.strip(),
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": {
            **_infer(),
            **_embed(),
            **_models(),
            **_health(),
            **_repository(),
            **control_paths(),
            **_server(),
        },
        "components": {
            "schemas": json_schemas(
                (*BODIES, EmbeddingsBody, *CONTROL_BODIES),
                (*ANSWERS, Embeddings, OpenAIError, *CONTROL_ANSWERS),
            ),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": error_responses(),
            "securitySchemes": SECURITY,
        },
    }


def _infer() -> dict[str, Any]:
    body = json_body("InferenceBody", shown.INFER_EXAMPLES)
    body["content"] |= _BYTES
    outputs = json_answer("The outputs.", "InferAnswer", example=shown.INFER_ANSWER)
    outputs["content"] |= _BYTES
    infer = operation(
        "Inference",
        "Run a model",
        {"200": outputs},
        ("400", "401", "403", "404", "413", "415", "500", "503", "504"),
        **TOKEN,
        description=_BINARY.strip(),
        parameters=shared("Key", "Timeout", "RequestId", "Traceparent", "JsonBytes"),
        requestBody=body,
    )
    return _on_model("/infer", "post", infer)


def _embed() -> dict[str, Any]:
    embed = operation(
        "Embeddings",
        "Embed texts",
        {"200": json_answer("A vector for each text.", "Embeddings", example=shown.EMBEDDINGS_ANSWER)},
        [f"OpenAI{status}" for status in (400, 401, 403, 404, 413, 415, 500, 503, 504)],
        **TOKEN,
        description=(
            "For models with a tokenizer and an embedding output. A text that is too long is truncated."
        ),
        parameters=shared("Key", "Timeout", "RequestId", "Traceparent"),
        requestBody=json_body("EmbeddingsBody", shown.EMBEDDINGS_EXAMPLES),
    )
    return {"/v1/embeddings": {"post": embed}}


def _models() -> dict[str, Any]:
    def ask(summary: str, schema: str, *errors: str) -> Operation:
        answers, refused = {"200": json_answer(f"{summary}.", schema)}, ("401", "403", *errors)
        return operation("Models", summary, answers, refused, **TOKEN)

    return {
        "/v2": {"get": ask("Name, version and extensions of the server", "ServerMetadata")},
        **_on_model("", "get", ask("Inputs, outputs and variants", "ModelMetadataAnswer", "404")),
        **_on_model("/config", "get", ask("Configuration, as Triton writes it", "ModelConfig", "404")),
        **_on_model("/stats", "get", ask("Statistics, as Triton writes them", "Statistics", "404")),
        "/v2/models/stats": {"get": ask("Statistics of all models", "Statistics")},
    }


def _health() -> dict[str, Any]:
    def ask(summary: str, schema: str, no: str, *errors: str) -> Operation:
        answers = {"200": json_answer("Yes.", schema)} | ({"503": json_answer(no, schema)} if no else {})
        return operation("Health", summary, answers, errors)

    return {
        "/v2/health/live": {"get": ask("Is the server running?", "ServerLive", "")},
        "/v2/health/ready": {"get": ask("Can every model answer?", "ServerReady", "At least one cannot.")},
        **_on_model(
            "/ready", "get", ask("Can all variants answer?", "ModelReady", "At least one cannot.", "404")
        ),
    }


def _repository() -> dict[str, Any]:
    index = operation(
        "Repository",
        "List the repository",
        {"200": json_answer("Every variant of every model.", "Index")},
        ("400", "413", "415", "503"),
        requestBody=json_body("IndexBody", {"All": {}, "Only ready ones": {"ready": True}}, required=False),
    )

    def change(verb: str, schema: str, description: str) -> dict[str, Any]:
        examples = {"The whole model": {}, "One variant": {"parameters": {"variant": "int8"}}}
        content = operation(
            "Repository",
            f"{verb} a model, or one of its variants",
            {"200": json_answer("It is done.", "Done")},
            ("400", "401", "403", "404", "413", "415", "503"),
            **TOKEN,
            description=description,
            parameters=shared("Model"),
            requestBody=json_body(schema, examples, required=False),
        )
        return {"post": content}

    return {
        "/v2/repository/index": {"post": index},
        "/v2/repository/models/{model}/load": change(
            "Load",
            "LoadBody",
            "Loads the present files: a new version of a bundle replaces the old one after it has been "
            "verified and warmed up. A bundle that fails gives 400 and gets no traffic.",
        ),
        "/v2/repository/models/{model}/unload": change(
            "Unload",
            "UnloadBody",
            "Accepted requests are answered first. The baseline can only be unloaded with its whole model.",
        ),
    }


def _server() -> dict[str, Any]:
    def ask(summary: str, given: dict[str, Any], *errors: str, **fields: Any) -> dict[str, Any]:
        return {"get": operation("Server", summary, {"200": given}, errors, **fields)}

    text = answer(
        "The metrics in the text format of Prometheus.", "text/plain", "application/openmetrics-text"
    )
    return {
        "/metrics": ask("Metrics for Prometheus", text, "401", "403", **TOKEN),
        "/": ask("The dashboard", answer("A page.", "text/html")),
        "/dashboard/{file}": ask(
            "A part of the dashboard",
            answer("A file.", "text/javascript", "text/css", "image/svg+xml"),
            "404",
            parameters=shared("File"),
        ),
        "/docs": ask("This page", answer("A page.", "text/html")),
        "/openapi.json": ask("The document behind this page", json_answer("OpenAPI 3.1.", "Document")),
    }


def _on_model(path: str, method: str, operation_object: Operation) -> dict[str, Any]:
    """The operation on a model, and the same operation on one of its variants."""
    rest = operation_object.get("parameters", [])
    of_model = operation_object | {"parameters": [*shared("Model"), *rest]}
    of_variant = operation_object | {
        "parameters": [*shared("Model", "Variant"), *rest],
        "summary": f"{operation_object['summary'].rstrip('?')}: one variant",
    }
    return {
        f"/v2/models/{{model}}{path}": {method: of_model},
        f"/v2/models/{{model}}/versions/{{variant}}{path}": {method: of_variant},
    }
