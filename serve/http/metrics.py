"""Metrics: `/metrics` for Prometheus, all gateways' counts together."""

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.http.gate import Gate
from serve.observe.metrics import ModelView, VariantView, render
from serve.registry import Registry
from serve.rollout.tally import Loads


def metrics_route(registry: Registry, gate: Gate) -> Route:
    """`/metrics`."""

    async def metrics(request: Request) -> Response:
        views = _views(registry, registry.counted())
        content, media_type = render(views, request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    return Route("/metrics", gate.view(metrics))


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
