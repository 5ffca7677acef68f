"""The control API: what is served, how its traffic is split, and what was counted."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.errors import UnknownModel
from serve.model import ServedModel
from serve.record import nearest


def control_routes(models: Mapping[str, ServedModel]) -> list[Route]:
    """The routes under `/control`."""

    async def list_models(request: Request) -> Response:
        return _json({"models": list(models)})

    async def show_model(request: Request) -> Response:
        name = request.path_params["model"]
        if name not in models:
            raise UnknownModel(f"no model {name!r} is served here; {nearest(name, models)}")
        return _json(_describe(models[name]))

    return [Route("/control/models", list_models), Route("/control/models/{model}", show_model)]


def _describe(model: ServedModel) -> dict[str, Any]:
    variants = {
        name: {
            "share": model.routes.share(name),
            "requests": tally.requests,
            "errors": tally.errors,
            "p50_ms": tally.quantile_ms(0.5),
            "p99_ms": tally.quantile_ms(0.99),
        }
        for name, tally in model.tallies.items()
    }
    return {"routes": model.routes.model_dump(), "variants": variants}


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
