"""The protocol's read-only routes: health, metadata, configuration and statistics."""

import time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.base.settings import Settings
from serve.engine.model import ServedModel, find_model
from serve.engine.registry import Registry
from serve.http.access_check import Gate
from serve.oip.metadata import describe_model, model_config, server_metadata
from serve.oip.statistics import model_statistics


def model_routes(registry: Registry, gate: Gate, settings: Settings) -> list[Route]:
    """The routes under `/v2` except inference and the repository. Health needs no token."""
    api = _ModelsApi(registry, settings)
    metadata, config = gate.infer(api.model_metadata), gate.infer(api.model_config)
    statistics = gate.infer(api.statistics)
    model = "/v2/models/{model}"
    versioned = f"{model}/versions/{{variant}}"
    return [
        Route("/v2", gate.infer(api.metadata)),
        Route("/v2/health/live", api.live),
        Route("/v2/health/ready", api.ready),
        Route("/v2/models/stats", statistics),
        *(Route(path, metadata) for path in (model, versioned)),
        *(Route(f"{path}/ready", api.model_ready) for path in (model, versioned)),
        *(Route(f"{path}/config", config) for path in (model, versioned)),
        *(Route(f"{path}/stats", statistics) for path in (model, versioned)),
    ]


class _ModelsApi:
    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings

    async def metadata(self, request: Request) -> Response:
        return answer_json(server_metadata())

    async def live(self, request: Request) -> Response:
        return answer_json({"live": True})

    async def ready(self, request: Request) -> Response:
        models = list(self._registry.models.values())
        ready = bool(models) and all([await model.ready() for model in models])
        return answer_json({"ready": ready, **_unjudged(self._registry)}, 200 if ready else 503)

    async def model_metadata(self, request: Request) -> Response:
        model, variants = self._asked(request)
        whole = "variant" not in request.path_params
        metadata = describe_model(model, variants, self._settings.max_body_bytes, whole=whole)
        return answer_json(metadata)

    async def model_ready(self, request: Request) -> Response:
        model, _ = self._asked(request)
        ready = await model.ready(request.path_params.get("variant"))
        return answer_json({"name": model.name, "ready": ready}, 200 if ready else 503)

    async def model_config(self, request: Request) -> Response:
        model, _ = self._asked(request)
        return answer_json(model_config(model.name, model.forms, self._settings.max_batch_rows))

    async def statistics(self, request: Request) -> Response:
        loads = self._registry.counted()
        if "model" in request.path_params:
            model, variants = self._asked(request)
            loads = {(model.name, name): loads[model.name, name] for name in variants}
        stats = [model_statistics(*key, load.tally) for key, load in sorted(loads.items())]
        return answer_json({"model_stats": stats})

    def _asked(self, request: Request) -> tuple[ServedModel, list[str]]:
        """The model in the path, and its variant in the path or all variants."""
        model = find_model(self._registry.models, request.path_params["model"])
        variant = request.path_params.get("variant")
        return model, model.variants if variant is None else [model.require(variant).name]


def _unjudged(registry: Registry) -> dict[str, Any]:
    """If a rollout runs and no keeper judges it: this fact, and its start in seconds since 1970."""
    unjudged_s = registry.judging.unjudged_s if registry.rollouts else None
    return {} if unjudged_s is None else {"judging": False, "judged_until_s": time.time() - unjudged_s}


def answer_json(content: Any, status: int = 200) -> Response:
    """`content` as a JSON response."""
    return Response(orjson.dumps(content), status, media_type="application/json")
