"""Paths: everything under `/control`."""

from starlette.routing import Route

from serve.control import Control
from serve.http.control.feedback import feedback_route
from serve.http.control.models import model_routes
from serve.http.control.rollouts import rollout_routes
from serve.http.control.routes import routes_routes
from serve.http.reader import Reader
from serve.registry import Registry


def control_routes(registry: Registry, control: Control, reader: Reader) -> list[Route]:
    """The routes under `/control`."""
    return [
        *model_routes(registry, control),
        *routes_routes(registry, control, reader),
        *rollout_routes(control, reader),
        feedback_route(control, reader),
    ]
