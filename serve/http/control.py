"""The control API: what is served, how its traffic is split, what was counted; metrics for Prometheus."""

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.http.models import answer_json
from serve.model import ServedModel, find_model
from serve.observe.metrics import ModelView, VariantView, render
from serve.registry import Registry
from serve.rollout.tally import Loads


def control_routes(registry: Registry) -> list[Route]:
    """The routes under `/control`, and `/metrics`. All gateways' counts together."""

    async def list_models(request: Request) -> Response:
        return answer_json({"models": sorted(registry.models)})

    async def show_model(request: Request) -> Response:
        return answer_json(
            _describe(find_model(registry.models, request.path_params["model"]), registry.counted())
        )

    async def metrics(request: Request) -> Response:
        views = _views(registry, registry.counted())
        content, media_type = render(views, request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    return [
        Route("/control/models", list_models),
        Route("/control/models/{model}", show_model),
        Route("/metrics", metrics),
    ]


def _describe(model: ServedModel, loads: Loads) -> dict[str, Any]:
    variants = {}
    for name in model.variants:
        tally = loads[model.name, name].tally
        variants[name] = {
            "share": model.routes.share(name),
            "requests": tally.requests,
            "errors": tally.errors,
            "p50_ms": tally.latency.quantile_ms(0.5),
            "p99_ms": tally.latency.quantile_ms(0.99),
        }
    return {"routes": model.routes.model_dump(), "variants": variants}


def _views(registry: Registry, loads: Loads) -> Iterator[ModelView]:
    for model in registry.models.values():
        variants = tuple(
            VariantView(
                name=name,
                share=model.routes.share(name),
                tally=(load := loads[model.name, name]).tally,
                in_flight=load.in_flight,
                waiting_rows=load.waiting_rows,
                ready=model.served[name].up,
            )
            for name in model.variants
        )
        yield ModelView(name=model.name, revision=model.routes.revision, variants=variants)
