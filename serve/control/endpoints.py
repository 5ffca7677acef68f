"""The HTTP routes under `/control`, one for each operation."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.base.error_text import shorten
from serve.base.errors import InvalidRequest
from serve.base.record import Record
from serve.base.settings import Settings
from serve.control.api import Control
from serve.control.gateway_commands import GatewayCommands
from serve.control.json_body import parse_record, read_json
from serve.control.operation_row import Operation
from serve.control.operations import OPERATIONS
from serve.engine.registry import Registry
from serve.http.access_check import Endpoint, Gate
from serve.http.body_reader import BodyReader
from serve.http.token_bucket import TokenBucket

Ask = Callable[..., Awaitable[Any]]


def control_routes(
    registry: Registry, control: Control, gate: Gate, settings: Settings, reader: BodyReader
) -> list[Route]:
    """The routes under `/control`."""
    own = GatewayCommands(registry, control)
    buckets = {
        name: TokenBucket(getattr(settings, name))
        for name in {operation.limited_by for operation in OPERATIONS}
    }

    def route(operation: Operation[Any]) -> Route:
        ask: Ask = getattr(own, operation.name, None) or partial(control.ask, operation)
        endpoint = _endpoint(operation, ask, reader)
        if operation.role == "operate":
            endpoint = gate.operate(endpoint, buckets[operation.limited_by])
        else:
            endpoint = gate.view(endpoint)
        return Route(operation.path, endpoint, methods=[operation.method])

    return [route(operation) for operation in OPERATIONS]


def _endpoint(operation: Operation[Any], ask: Ask, reader: BodyReader) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        arguments: list[Any] = [request.path_params[name] for name in operation.names]
        if operation.fixed is not None:
            arguments.append(operation.fixed)
        if operation.after:
            arguments.append(_read_after(request))
        if operation.body is not None:
            body = await read_json(reader, request, curl=operation.curl)
            body = b"{}" if operation.empty and not body else body
            # A large body takes about 0.4 s; other requests are answered meanwhile.
            arguments.append(await asyncio.to_thread(parse_record, body, operation.body))
        if operation.role == "operate":
            arguments.append(request.state.by)
        answer = await ask(*arguments)
        return Response(_encode(operation, answer), operation.status, media_type="application/json")

    return endpoint


def _encode(operation: Operation[Any], answer: Any) -> bytes | str:
    if isinstance(answer, Record):
        return answer.model_dump_json()
    if operation.key is None:
        return orjson.dumps(answer)
    listed = ",".join(record.model_dump_json() for record in answer)
    return f'{{"{operation.key}":[{listed}]}}'


def _read_after(request: Request) -> int:
    after = request.query_params.get("after", "0")
    # No trail is so long, and parsing more digits would take time.
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise InvalidRequest(
            f"'after' is {shorten(after)!r}, expected the number of an entry, or 0 for the whole trail"
        )
    return int(after)
