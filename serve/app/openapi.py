"""OpenAPI: the document of everything that the server answers over HTTP."""

import importlib.metadata
from typing import Any

from serve.control.control_paths import control_paths
from serve.control.control_schemas import CONTROL
from serve.openapi.answer_schemas import ANSWERS, EMBEDDINGS_ANSWER, INFER_ANSWER
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
from serve.openapi.request_schemas import EMBEDDINGS_EXAMPLES, INFER_EXAMPLES, REQUESTS

_ABOUT = """
Models behind the Open Inference Protocol, each as several variants: the baseline, and lighter ones beside it.
A model's routes say which share of its requests a variant gets. A variant is the protocol's version: with
its name in the path it is asked, whatever the routes say.

Any request may carry `x-request-id` and `traceparent`, and every answer has both. An error is
`{"error": "..."}` and says what came, what was expected, and what to do. A path that is not here is 404,
another method is 405.

Where the server was started with `--tokens`, the header `authorization: Bearer TOKEN` says who asks: the role
`view` may look at everything, `operate` may change it, too, and if a token has the role `infer`, models
answer only that one and `operate`. Without tokens everybody on the server's own machine may do everything; if
others reach it, they may ask models, and Control, metrics, loading and unloading are closed. Health is always
open.
"""
_TAGS = {
    "Inference": "Arrays or texts in, arrays out.",
    "Embeddings": "Texts in, vectors out, in the form of OpenAI: an existing client only changes its URL.",
    "Models": "What is served, what it takes, and what it has done.",
    "Health": "Whether a request would be answered now.",
    "Repository": "Loading and unloading while requests come; none fails over it.",
    "Control": "How traffic is split and moved, and what was counted. Looking takes the role `view`, "
    "changing anything `operate`; a body is JSON and its `content-type` says so, even where it may be empty.",
    "Server": "The dashboard, this page, and metrics.",
}
_BINARY = """
The routes choose the variant, unless the path names one.

Tensors may go as bytes behind the JSON, in both directions: `Inference-Header-Content-Length` says how long
the JSON is, an input with the parameter `binary_data_size` takes so many of the bytes that follow, and an
output with `binary_data: true` comes back that way. With the header at 0 the body is one row of the model's
only input.

A body may be packed as gzip or deflate (`Content-Encoding`), and the answer is where `Accept-Encoding` asks
for it.
"""
_BYTES: dict[str, Any] = {"application/octet-stream": {}}


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document, as JSON would have it."""
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
            "schemas": {**REQUESTS, **ANSWERS, **CONTROL},
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": error_responses(),
            "securitySchemes": SECURITY,
        },
    }


def _infer() -> dict[str, Any]:
    body = json_body("InferRequest", INFER_EXAMPLES)
    body["content"] |= _BYTES
    outputs = json_answer("The outputs.", "InferAnswer", example=INFER_ANSWER)
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
        {"200": json_answer("A vector for each text.", "Embeddings", example=EMBEDDINGS_ANSWER)},
        [f"OpenAI{status}" for status in (400, 401, 403, 404, 413, 415, 500, 503, 504)],
        **TOKEN,
        description="For models with a tokenizer that answer embeddings. A text that is too long is cut.",
        parameters=shared("Key", "Timeout", "RequestId", "Traceparent"),
        requestBody=json_body("EmbeddingsRequest", EMBEDDINGS_EXAMPLES),
    )
    return {"/v1/embeddings": {"post": embed}}


def _models() -> dict[str, Any]:
    def ask(summary: str, schema: str, *errors: str) -> Operation:
        answers, refused = {"200": json_answer(f"{summary}.", schema)}, ("401", "403", *errors)
        return operation("Models", summary, answers, refused, **TOKEN)

    return {
        "/v2": {"get": ask("Name, version and extensions of the server", "ServerMetadata")},
        **_on_model("", "get", ask("Inputs, outputs and variants", "ModelMetadata", "404")),
        **_on_model("/config", "get", ask("Configuration, as Triton writes it", "ModelConfig", "404")),
        **_on_model("/stats", "get", ask("Statistics, as Triton writes them", "Statistics", "404")),
        "/v2/models/stats": {"get": ask("Statistics of all models", "Statistics")},
    }


def _health() -> dict[str, Any]:
    def ask(summary: str, schema: str, no: str, *errors: str) -> Operation:
        answers = {"200": json_answer("Yes.", schema)} | ({"503": json_answer(no, schema)} if no else {})
        return operation("Health", summary, answers, errors)

    return {
        "/v2/health/live": {"get": ask("Is the server up?", "Live", "")},
        "/v2/health/ready": {"get": ask("Would every model answer?", "Ready", "One would not.")},
        **_on_model(
            "/ready", "get", ask("Would all variants answer?", "ModelReady", "One would not.", "404")
        ),
    }


def _repository() -> dict[str, Any]:
    index = operation(
        "Repository",
        "What there is, and its state",
        {"200": json_answer("Every variant of every model.", "Index")},
        ("400", "413", "415", "503"),
        requestBody=json_body("IndexRequest", {"All": {}, "What is ready": {"ready": True}}, required=False),
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
            "LoadRequest",
            "As it stands on disk now: a new version of a bundle takes the place of the old one once it is "
            "verified and warm. A bundle that fails that is 400 and gets no traffic.",
        ),
        "/v2/repository/models/{model}/unload": change(
            "Unload",
            "UnloadRequest",
            "What was taken is answered first. The baseline only goes with its model.",
        ),
    }


def _server() -> dict[str, Any]:
    def ask(summary: str, given: dict[str, Any], *errors: str, **fields: Any) -> dict[str, Any]:
        return {"get": operation("Server", summary, {"200": given}, errors, **fields)}

    text = answer("In Prometheus' text format.", "text/plain", "application/openmetrics-text")
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


def _on_model(path: str, method: str, given: Operation) -> dict[str, Any]:
    """The operation on a model, and the same on one variant of it."""
    rest = given.get("parameters", [])
    of_model = given | {"parameters": [*shared("Model"), *rest]}
    of_variant = given | {
        "parameters": [*shared("Model", "Variant"), *rest],
        "summary": f"{given['summary'].rstrip('?')}: one variant",
    }
    return {
        f"/v2/models/{{model}}{path}": {method: of_model},
        f"/v2/models/{{model}}/versions/{{variant}}{path}": {method: of_variant},
    }
