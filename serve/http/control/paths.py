"""Paths: everything under `/control`."""

from starlette.routing import Route

from serve.control import Control
from serve.http.bucket import Bucket
from serve.http.control.feedback import feedback_route
from serve.http.control.models import model_routes
from serve.http.control.qualifications import qualification_routes
from serve.http.control.rollouts import rollout_routes
from serve.http.control.routes import routes_routes
from serve.http.control.weigh import weigh_route
from serve.http.gate import Gate
from serve.http.reader import Reader
from serve.registry import Registry
from serve.settings import Settings


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
