"""Routes, as people read and change them."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.control import Control, RoutesWanted
from serve.http.control.records import answer_record, read_record
from serve.http.reader import Reader
from serve.model import find_model
from serve.registry import Registry


def routes_routes(registry: Registry, control: Control, reader: Reader) -> list[Route]:
    """`/control/models/{model}/routes`."""

    async def show(request: Request) -> Response:
        return answer_record(find_model(registry.models, request.path_params["model"]).routes)

    async def change(request: Request) -> Response:
        wanted = await read_record(reader, request, RoutesWanted)
        return answer_record(await control.set_routes(request.path_params["model"], wanted, "local"))

    path = "/control/models/{model}/routes"
    return [Route(path, show), Route(path, change, methods=["PUT"])]
