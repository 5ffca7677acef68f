"""Feedback: labels that come later than the answers that they are of."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.control import Control
from serve.http.bucket import Bucket
from serve.http.control.records import answer_record, read_record
from serve.http.gate import Gate
from serve.http.reader import Reader
from serve.rollout.feedback import Outcomes


def feedback_route(control: Control, gate: Gate, writes: Bucket, reader: Reader) -> Route:
    """`/control/models/{model}/feedback`."""

    async def tell(request: Request) -> Response:
        told = await read_record(reader, request, Outcomes)
        return answer_record(await control.feedback(request.path_params["model"], told.outcomes))

    path = "/control/models/{model}/feedback"
    return Route(path, gate.operate(tell, writes), methods=["POST"])
