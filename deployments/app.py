"""The Ray Serve application: one gateway and, for variants placed apart, a deployment for each."""

from typing import Any

from ray import serve as ray_serve
from ray.serve import Application

from deployments.gateway import Gateway
from deployments.plan import Plan
from deployments.variant import VariantReplica
from serve.settings import Settings

# Far above what the gateway's own queues let through: they decide, not Ray.
_MAX_ONGOING = 10_000


def build(plan: Plan, settings: Settings) -> Application:
    """The application that serves the plan."""
    handles: dict[str, dict[str, Any]] = {}
    if not plan.together:
        for model in plan.models:
            handles[model.name] = {
                variant: _deployment(VariantReplica, f"{model.name}:{variant}").bind(
                    str(model.folder / variant), settings.threads
                )
                for variant in model.servable
            }
    gateway = _deployment(ray_serve.ingress()(Gateway), "gateway")
    application: Application = gateway.bind(plan, handles, settings)
    return application


def _deployment(replica: type, name: str) -> Any:
    # No CPU is reserved: on a small machine the reservation, not the load, would decide what fits.
    return ray_serve.deployment(
        replica, name=name, max_ongoing_requests=_MAX_ONGOING, ray_actor_options={"num_cpus": 0}
    )
