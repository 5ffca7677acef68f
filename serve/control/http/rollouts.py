"""Rollouts: started, looked at, acted on; their trail, and their verdicts computed once more."""

from typing import get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.base.errors import InvalidRequest
from serve.base.wording import shorten
from serve.control.api import Control
from serve.http.bucket import Bucket
from serve.http.gate import Endpoint, Gate
from serve.http.reader import Reader
from serve.http.records import answer_record, answer_records, read_record
from serve.rollout.records import Act, ActWanted, RolloutWanted


def rollout_routes(control: Control, gate: Gate, writes: Bucket, reader: Reader) -> list[Route]:
    """A model's rollouts and its trail, and each rollout under its own name."""

    async def list_rollouts(request: Request) -> Response:
        return answer_records("rollouts", await control.rollouts(request.path_params["model"]))

    async def start(request: Request) -> Response:
        wanted = await read_record(reader, request, RolloutWanted)
        view = await control.start(request.path_params["model"], wanted, request.state.by)
        return answer_record(view, 201)

    async def show(request: Request) -> Response:
        return answer_record(await control.view(request.path_params["rollout"]))

    async def replay(request: Request) -> Response:
        return answer_record(await control.replay(request.path_params["rollout"]))

    async def show_trail(request: Request) -> Response:
        entries = await control.trail(request.path_params["model"], _read_after(request))
        return answer_records("entries", entries)

    def act(verb: Act) -> Endpoint:
        async def do(request: Request) -> Response:
            wanted = await read_record(reader, request, ActWanted, empty=True)
            rollout, by = request.path_params["rollout"], request.state.by
            return answer_record(await control.act(rollout, verb, wanted, by))

        return do

    of_model, one = "/control/models/{model}/rollouts", "/control/rollouts/{rollout}"
    return [
        Route(of_model, gate.view(list_rollouts)),
        Route(of_model, gate.operate(start, writes), methods=["POST"]),
        Route("/control/models/{model}/trail", gate.view(show_trail)),
        Route(one, gate.view(show)),
        *(
            Route(f"{one}/{verb}", gate.operate(act(verb), writes), methods=["POST"])
            for verb in get_args(Act)
        ),
        Route(f"{one}/replay", gate.view(replay)),
    ]


def _read_after(request: Request) -> int:
    after = request.query_params.get("after", "0")
    # No trail is so long; more digits would cost time to read.
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise InvalidRequest(
            f"'after' is {shorten(after)!r}, expected the number of an entry; 0 is before the first"
        )
    return int(after)
