"""The route `/metrics` for Prometheus, with the counts of all gateways together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.base.errors import CounterweightError
from serve.counting.tally import Loads
from serve.counting.usage import Usage
from serve.engine.registry import Registry
from serve.http.access_check import Gate
from serve.observe.metrics import ModelView, VariantView, render

# Well below the timeout of a scraper.
_USAGE_TIMEOUT_S = 3.0


def metrics_route(registry: Registry, usage: Callable[[], Awaitable[Usage]], gate: Gate) -> Route:
    """The route `/metrics`. `usage` gets the usage of the server's processes from the keeper."""

    async def metrics(request: Request) -> Response:
        used = await _ask(usage)
        views = _views(registry, registry.counted())
        content, media_type = render(views, used, request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    return Route("/metrics", gate.view(metrics))


async def _ask(usage: Callable[[], Awaitable[Usage]]) -> Usage | None:
    """The usage, or None if the keeper does not answer; all other metrics are shown without it."""
    try:
        async with asyncio.timeout(_USAGE_TIMEOUT_S):
            return await usage()
    except (CounterweightError, TimeoutError):
        return None


def _views(registry: Registry, loads: Loads) -> Iterator[ModelView]:
    for model in registry.models.values():
        variants = tuple(
            VariantView(
                name=name,
                share=model.routes.share(name),
                shadow_share=model.routes.shadows.get(name, 0.0),
                tally=(load := loads[model.name, name]).tally,
                in_flight=load.in_flight,
                waiting_rows=load.waiting_rows,
                ready=model.served[name].up,
            )
            for name in model.variants
        )
        yield ModelView(name=model.name, revision=model.routes.revision, variants=variants)
