"""What is served, how it is split, and what was counted; the last minutes as curves; what lies on disk."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.control.api import Control
from serve.counting.tally import Loads
from serve.engine.model import ServedModel, find_model
from serve.engine.registry import Registry
from serve.http.gate import Gate
from serve.http.models import answer_json
from serve.http.records import answer_record


def model_routes(registry: Registry, control: Control, gate: Gate) -> list[Route]:
    """`/control/models`, and what can be seen of one model. All gateways' counts together."""

    async def list_models(request: Request) -> Response:
        rolling = [name for name, model in registry.models.items() if model.census is not None]
        return answer_json({"models": sorted(registry.models), "rolling": sorted(rolling)})

    async def show_model(request: Request) -> Response:
        model = find_model(registry.models, request.path_params["model"])
        running = None if model.census is None else model.census.watch.rollout
        return answer_json({**_describe(model, registry.counted()), "rollout": running})

    async def show_curves(request: Request) -> Response:
        return answer_record(await control.curves(request.path_params["model"]))

    async def show_bundles(request: Request) -> Response:
        return answer_record(await control.bundles(request.path_params["model"]))

    return [
        Route("/control/models", gate.view(list_models)),
        Route("/control/models/{model}", gate.view(show_model)),
        Route("/control/models/{model}/curves", gate.view(show_curves)),
        Route("/control/models/{model}/bundles", gate.view(show_bundles)),
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
            "ready": model.served[name].up,
            "unproven": model.served[name].version.unproven,
            # As a shadow, with a rollout or without one; in rows.
            "compared": tally.copies,
            "disagreements": tally.disagreements,
            "dropped": tally.drops,
        }
    return {"routes": model.routes.model_dump(), "variants": variants}
