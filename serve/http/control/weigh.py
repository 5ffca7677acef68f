"""Weigh: whoever counted requests himself compares two variants as a rollout would."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.http.control.records import answer_record, read_record
from serve.http.gate import Gate
from serve.http.reader import Reader
from serve.rollout.weighing import Weighing
from serve.rollout.weighing import weigh as weigh_counts


def weigh_route(gate: Gate, reader: Reader) -> Route:
    """`/control/weigh`. It changes nothing, so it is for whoever may look."""

    async def weigh(request: Request) -> Response:
        weighing = await read_record(reader, request, Weighing)
        # A day's ticks take a tenth of a second, in which others are answered.
        return answer_record(await asyncio.to_thread(weigh_counts, weighing))

    return Route("/control/weigh", gate.view(weigh), methods=["POST"])
