"""The Ray Serve application: the gateways and the keeper."""

from typing import Any

from ray import serve as ray_serve
from ray.serve import Application

from deployments.gateway import Gateway
from deployments.keeper import Keeper
from deployments.server_plan import ServerPlan

# Far above the limits of the gateways' own queues, so that Ray's limit never applies.
_MAX_ONGOING = 10_000


def build(plan: ServerPlan, scratch: str, server: int) -> Application:
    """Create the application for the plan; `server` is the id of the process that starts it."""
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
        # No CPU is reserved, because on a small machine the reservation would limit what fits, not the load.
        ray_actor_options={"num_cpus": 0},
    )
