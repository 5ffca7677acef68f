"""The Ray Serve application: the gateways, and the keeper that tells them what is loaded."""

from typing import Any

from ray import serve as ray_serve
from ray.serve import Application

from deployments.gateway import Gateway
from deployments.keeper import Keeper
from deployments.server_plan import ServerPlan

# Far above what the gateways' own queues let through: they decide, not Ray.
_MAX_ONGOING = 10_000


def build(plan: ServerPlan, scratch: str, server: int) -> Application:
    """The application that serves the plan; `server` is the process that starts it."""
    keeper = _deployment(Keeper, "keeper", 1).bind(plan, scratch, server)
    application: Application = _deployment(Gateway, "gateway", plan.gateways).bind(plan, keeper, scratch)
    return application


def _deployment(replica: type, name: str, replicas: int) -> Any:
    return ray_serve.deployment(
        replica,
        name=name,
        num_replicas=replicas,
        max_ongoing_requests=_MAX_ONGOING,
        health_check_period_s=2,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=15,
        graceful_shutdown_wait_loop_s=0.2,
        # No CPU is reserved: on a small machine the reservation, not the load, would decide what fits.
        ray_actor_options={"num_cpus": 0},
    )
