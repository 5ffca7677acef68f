"""Weigh: whoever counted requests himself compares two variants as a rollout would."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.http.gate import Gate
from serve.http.reader import Reader
from serve.http.records import answer_record, parse_record, read_json
from serve.rollout.judging.weigh import Weighed, Weighing
from serve.rollout.judging.weigh import weigh as weigh_ticks


def weigh_route(gate: Gate, reader: Reader) -> Route:
    """`/control/weigh`. It changes nothing, so it is for whoever may look."""

    async def weigh(request: Request) -> Response:
        # A day's ticks take some 0.4 s, in which others are answered.
        return answer_record(await asyncio.to_thread(_weigh, await read_json(reader, request)))

    return Route("/control/weigh", gate.view(weigh), methods=["POST"])


def _weigh(body: bytes) -> Weighed:
    return weigh_ticks(parse_record(body, Weighing))
