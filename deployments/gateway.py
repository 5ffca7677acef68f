"""Gateway: the ingress. It holds the ASGI app, the routes and the tallies; variants run apart or together."""

from collections.abc import Mapping

from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from deployments.plan import Plan
from deployments.variant import Apart, VariantReplica
from serve.api import create_app
from serve.model import ServedModel
from serve.placement import Placement, Together
from serve.repository import StoredModel
from serve.session import open_session
from serve.settings import Settings

Handle = DeploymentHandle[VariantReplica]


class Gateway:
    """One gateway replica, over all models of the plan."""

    def __init__(self, plan: Plan, handles: Mapping[str, Mapping[str, Handle]], settings: Settings) -> None:
        """`handles` gives a handle for every variant of each model that is placed apart."""
        models = {}
        for stored, routes in zip(plan.models, plan.routes, strict=True):
            placements = _place(stored, handles.get(stored.name), settings)
            models[stored.name] = ServedModel(stored.signature, placements, routes, settings)
        self._app = create_app(models, settings)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """What Ray Serve asks an ingress for, once it is made."""
        return self._app


def _place(
    stored: StoredModel, handles: Mapping[str, Handle] | None, settings: Settings
) -> dict[str, Placement]:
    if handles is not None:
        return {variant: Apart(f"{stored.name}/{variant}", handle) for variant, handle in handles.items()}
    return {
        variant: Together(open_session(stored.folder / variant, threads=settings.threads))
        for variant in stored.servable
    }
