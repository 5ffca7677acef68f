"""Routes, as people read and change them."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.control.api import Control
from serve.engine.model import find_model
from serve.engine.registry import Registry
from serve.http.bucket import Bucket
from serve.http.gate import Gate
from serve.http.reader import Reader
from serve.http.records import answer_record, read_record
from serve.rollout.records import RoutesWanted


def routes_routes(
    registry: Registry, control: Control, gate: Gate, writes: Bucket, reader: Reader
) -> list[Route]:
    """`/control/models/{model}/routes`."""

    async def show(request: Request) -> Response:
        return answer_record(find_model(registry.models, request.path_params["model"]).routes)

    async def change(request: Request) -> Response:
        wanted = await read_record(reader, request, RoutesWanted)
        model, by = request.path_params["model"], request.state.by
        return answer_record(await control.set_routes(model, wanted, by))

    path = "/control/models/{model}/routes"
    return [Route(path, gate.view(show)), Route(path, gate.operate(change, writes), methods=["PUT"])]
