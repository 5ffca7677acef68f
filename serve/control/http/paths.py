"""Paths: everything under `/control`."""

from starlette.routing import Route

from serve.base.settings import Settings
from serve.control.api import Control
from serve.control.http.feedback import feedback_route
from serve.control.http.models import model_routes
from serve.control.http.qualifications import qualification_routes
from serve.control.http.rollouts import rollout_routes
from serve.control.http.routes import routes_routes
from serve.control.http.weigh import weigh_route
from serve.engine.registry import Registry
from serve.http.bucket import Bucket
from serve.http.gate import Gate
from serve.http.reader import Reader


def control_routes(
    registry: Registry, control: Control, gate: Gate, settings: Settings, reader: Reader
) -> list[Route]:
    """The routes under `/control`."""
    writes, feedback = Bucket(settings.control_writes_per_s), Bucket(settings.feedback_per_s)
    return [
        *model_routes(registry, control, gate),
        *routes_routes(registry, control, gate, writes, reader),
        *qualification_routes(control, gate, writes, reader),
        *rollout_routes(control, gate, writes, reader),
        feedback_route(registry, control, gate, feedback, reader),
        weigh_route(gate, reader),
    ]
