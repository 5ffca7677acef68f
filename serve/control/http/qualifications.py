"""Qualifications: what came of weighing candidates before any rollout, for the trail and for policies."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.control.api import Control
from serve.http.bucket import Bucket
from serve.http.gate import Gate
from serve.http.reader import Reader
from serve.http.records import answer_record, answer_records, read_record
from serve.rollout.trail.qualification import Qualification


def qualification_routes(control: Control, gate: Gate, writes: Bucket, reader: Reader) -> list[Route]:
    """`/control/models/{model}/qualifications`."""

    async def show(request: Request) -> Response:
        views = await control.qualifications(request.path_params["model"])
        return answer_records("qualifications", views)

    async def add(request: Request) -> Response:
        found = await read_record(reader, request, Qualification)
        model, by = request.path_params["model"], request.state.by
        return answer_record(await control.qualify(model, found, by), 201)

    path = "/control/models/{model}/qualifications"
    return [Route(path, gate.view(show)), Route(path, gate.operate(add, writes), methods=["POST"])]
