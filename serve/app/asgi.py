"""The ASGI application: all routes, and the only map from errors to HTTP responses."""

import logging
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serve.app.dashboard import dashboard_routes
from serve.app.docs_page import docs_routes
from serve.base.access import Access
from serve.base.errors import CounterweightError, StaleRevision
from serve.base.settings import Settings
from serve.control.api import Control
from serve.control.endpoints import control_routes
from serve.engine.catalog import Repository
from serve.engine.registry import Registry
from serve.http.access_check import Gate
from serve.http.body_reader import BodyReader
from serve.http.embeddings import embeddings_route
from serve.http.error_headers import headers_of
from serve.http.infer import InferEndpoint
from serve.http.metrics_route import metrics_route
from serve.http.model_routes import model_routes
from serve.http.observe_middleware import ObserveMiddleware
from serve.http.repository_routes import repository_routes
from serve.observe.observer import Observer

_log = logging.getLogger("counterweight.api")


def create_app(  # noqa: PLR0913, PLR0917 - the parts of a server
    registry: Registry,
    repository: Repository,
    control: Control,
    access: Access,
    settings: Settings,
    observer: Observer,
) -> ASGIApp:
    """Create the ASGI application for the registry's models."""
    reader = BodyReader(settings)
    gate = Gate(access)
    infer = gate.infer(InferEndpoint(registry.models, reader, settings).infer)
    app = Starlette(
        routes=[
            # The hot path comes first, because routes are tried in order.
            Route("/v2/models/{model}/infer", infer, methods=["POST"]),
            Route("/v2/models/{model}/versions/{variant}/infer", infer, methods=["POST"]),
            *model_routes(registry, gate, settings),
            *repository_routes(repository, gate, reader),
            embeddings_route(registry.models, gate, reader),
            *control_routes(registry, control, gate, settings, reader),
            metrics_route(registry, control.usage, gate),
            *docs_routes(),
            *dashboard_routes(),
        ],
        exception_handlers={
            CounterweightError: _answer_ours,
            HTTPException: _answer_http,
            ClientDisconnect: _answer_nobody,
            Exception: _answer_bug,
        },
    )
    return ObserveMiddleware(app, observer)


async def _answer_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, CounterweightError)
    request.state.exchange.error = type(error).__name__
    # All other errors are the client's, or too frequent under overload; the metrics count them.
    if error.status == 500:
        _log.error("%s: %s", request.url.path, error)
    more = {"current": error.current} if isinstance(error, StaleRevision) else {}
    return _answer(str(error), error.status, headers_of(error), **more)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    return _answer(f"{request.method} {request.url.path}: {error.detail}", error.status_code, headers)


async def _answer_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


async def _answer_bug(request: Request, error: Exception) -> Response:
    request.state.exchange.error = type(error).__name__
    return _answer(f"internal error: {type(error).__name__}; see the server's log", 500, {})


def _answer(message: str, status: int, headers: dict[str, str], **more: Any) -> Response:
    return Response(orjson.dumps({"error": message, **more}), status, headers, "application/json")
