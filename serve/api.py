"""The ASGI roof: the protocol's routes, and the one map from errors to responses."""

import importlib.metadata
import logging
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.control import control_routes
from serve.errors import CounterweightError, RequestTooLarge, UnknownModel
from serve.model import ServedModel
from serve.oip.json_codec import decode_request, encode_response
from serve.record import nearest
from serve.settings import Settings

STICKY_HEADER = "x-counterweight-key"
_log = logging.getLogger("counterweight.api")


def create_app(models: Mapping[str, ServedModel], settings: Settings) -> Starlette:
    """The endpoint over `models`, as an ASGI application."""
    api = _Api(models, settings)
    versioned = "/v2/models/{model}/versions/{variant}"
    return Starlette(
        routes=[
            # The first is the hot path, and routes are tried in order.
            Route("/v2/models/{model}/infer", api.infer, methods=["POST"]),
            Route(f"{versioned}/infer", api.infer, methods=["POST"]),
            Route("/v2", api.server_metadata),
            Route("/v2/health/live", api.live),
            Route("/v2/health/ready", api.server_ready),
            Route("/v2/models/{model}", api.model_metadata),
            Route("/v2/models/{model}/ready", api.model_ready),
            Route(versioned, api.model_metadata),
            Route(f"{versioned}/ready", api.model_ready),
            *control_routes(models),
        ],
        exception_handlers={
            CounterweightError: _answer_ours,
            HTTPException: _answer_http,
            Exception: _answer_bug,
        },
    )


class _Api:
    def __init__(self, models: Mapping[str, ServedModel], settings: Settings) -> None:
        self._models = models
        self._settings = settings

    async def infer(self, request: Request) -> Response:
        model = self._model(request)
        pinned = request.path_params.get("variant")
        if pinned is not None:
            model.require(pinned)
        body = await _read_body(request, self._settings.max_body_bytes)
        asked = decode_request(body, model.signature)
        variant = pinned or model.choose(request.headers.get(STICKY_HEADER))
        with model.counted(variant):
            outputs = await model.infer(variant, asked.arrays)
            answer = encode_response(model.name, variant, asked, outputs, model.signature)
        return Response(answer, media_type="application/json")

    async def server_metadata(self, request: Request) -> Response:
        return _json(
            {
                "name": "counterweight",
                "version": importlib.metadata.version("counterweight"),
                "extensions": [],
            }
        )

    async def live(self, request: Request) -> Response:
        return _json({"live": True})

    async def server_ready(self, request: Request) -> Response:
        ready = all([await model.ready() for model in self._models.values()])
        return _json({"ready": ready}, 200 if ready else 503)

    async def model_metadata(self, request: Request) -> Response:
        model = self._model(request)
        variant = request.path_params.get("variant")
        tensors = {
            kind: [{"name": spec.name, "datatype": spec.datatype, "shape": spec.wire_shape} for spec in specs]
            for kind, specs in (("inputs", model.signature.inputs), ("outputs", model.signature.outputs))
        }
        versions = model.variants if variant is None else [model.require(variant)]
        return _json({"name": model.name, "versions": versions, "platform": "onnxruntime_onnx", **tensors})

    async def model_ready(self, request: Request) -> Response:
        model = self._model(request)
        ready = await model.ready(request.path_params.get("variant"))
        return _json({"name": model.name, "ready": ready}, 200 if ready else 503)

    def _model(self, request: Request) -> ServedModel:
        name = request.path_params["model"]
        if name not in self._models:
            raise UnknownModel(f"no model {name!r} is served here; {nearest(name, self._models)}")
        return self._models[name]


async def _read_body(request: Request, limit_bytes: int) -> bytes:
    too_large = RequestTooLarge(f"the body is over {limit_bytes} bytes; send fewer rows in a request")
    if int(request.headers.get("content-length", 0)) > limit_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise too_large
    return bytes(body)


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


async def _answer_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, CounterweightError)
    if error.status >= 500:
        _log.error("%s: %s", request.url.path, error)
    return _json({"error": str(error)}, error.status)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": f"{request.method} {request.url.path}: {error.detail}"}, error.status_code)


async def _answer_bug(request: Request, error: Exception) -> Response:
    return _json({"error": f"internal error: {type(error).__name__}; the server's log says more"}, 500)
