"""The protocol's model repository over HTTP: index, load, unload. A parameter may name one variant."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.base.error_text import kind
from serve.base.errors import InvalidRequest
from serve.engine.catalog import Repository
from serve.http.access_check import Gate
from serve.http.body_reader import BodyReader
from serve.http.model_routes import answer_json
from serve.oip.request_parameters import read_variant


def repository_routes(repository: Repository, gate: Gate, reader: BodyReader) -> list[Route]:
    """The routes under `/v2/repository`."""

    async def index(request: Request) -> Response:
        only_ready = (await _read(reader, request, {"ready"})).get("ready", False)
        if not isinstance(only_ready, bool):
            raise InvalidRequest(f"'ready' is {kind(only_ready)}, expected true or false")
        entries = [asdict(entry) for entry in await repository.index()]
        return answer_json([entry for entry in entries if entry["state"] == "READY" or not only_ready])

    async def load(request: Request) -> Response:
        variant = read_variant((await _read(reader, request, {"parameters"})).get("parameters", {}))
        await repository.load(request.path_params["model"], variant)
        return answer_json({})

    async def unload(request: Request) -> Response:
        variant = read_variant((await _read(reader, request, {"parameters"})).get("parameters", {}))
        await repository.unload(request.path_params["model"], variant)
        return answer_json({})

    return [
        # Open: the command that starts the server uses it to report variants that could not be loaded.
        Route("/v2/repository/index", index, methods=["POST"]),
        Route("/v2/repository/models/{model}/load", gate.operate(load), methods=["POST"]),
        Route("/v2/repository/models/{model}/unload", gate.operate(unload), methods=["POST"]),
    ]


async def _read(reader: BodyReader, request: Request, known: Collection[str]) -> dict[str, Any]:
    body = await reader.body(request)
    try:
        content = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(content, dict) or set(content) - set(known):
        raise InvalidRequest(f"the body must be an object with no other keys than {', '.join(sorted(known))}")
    return content
