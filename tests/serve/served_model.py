"""A served model for tests, with hosts that the test controls."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from serve.base.routing import Routes
from serve.base.settings import Settings
from serve.counting.tally import Tally
from serve.engine.admission import Answer
from serve.engine.answer_validity import Encode
from serve.engine.batch import Joining
from serve.engine.catalog import LoadedVariant
from serve.engine.model import ServedModel
from serve.engine.queue import Queue
from serve.engine.request import InferRequest, RequestedOutput
from serve.engine.variant import ServedVariant
from tests.conftest import FEATURES, SIGNATURE
from tests.serve.clock import settle
from tests.serve.host import Host
from tests.serve.queues import rows

Hosts = dict[str, Host]
_VERSION = LoadedVariant(digest="0" * 64, folder="nowhere", host=None, full_rows=8)


def two() -> Hosts:
    """The baseline, and a candidate that answers twice as much."""
    return {"base": Host(), "light": Host(scale=2)}


def make_served(name: str, host: Host, settings: Settings) -> ServedVariant:
    """Return the variant that runs at `host`."""
    joining = Joining(signature=SIGNATURE, full_rows=8, pads={})
    return ServedVariant(name, _VERSION, host, Queue(host, joining, settings, Tally()))


def routes(
    weights: Mapping[str, float], shadows: Mapping[str, float] | None = None, revision: int = 1
) -> Routes:
    """Return routes of `linear`."""
    return Routes(
        model="linear",
        baseline="base",
        weights={"base": 0, **weights},
        shadows=shadows or {},
        revision=revision,
    )


@asynccontextmanager
async def serving(
    hosts: Hosts, weights: Mapping[str, float] | None = None, **settings: Any
) -> AsyncIterator[ServedModel]:
    """`linear` with a variant for each host; without weights everything goes to `base`."""
    limits = Settings(**settings)
    model = ServedModel(SIGNATURE, routes(weights or {"base": 1}), limits)
    model.serve({name: make_served(name, host, limits) for name, host in hosts.items()}, model.routes)
    try:
        await settle()
        yield model
    finally:
        model.close()
        await asyncio.gather(*(variant.retire() for variant in model.served.values()))


async def replace(model: ServedModel, weights: Mapping[str, float], **newer: ServedVariant) -> None:
    """Serve the same baseline, these variants beside it, and no others."""
    for gone in model.serve({"base": model.served["base"], **newer}, routes(weights)):
        await gone.retire()


def request_of(value: float = 1.0, timeout_s: float | None = None, count: int = 1) -> InferRequest:
    """Return a request of `count` rows, as HTTP and gRPC decode it."""
    return InferRequest(
        id=None, arrays=rows(value, count), outputs=(RequestedOutput(name="y"),), timeout_s=timeout_s
    )


def as_is(answer: Answer) -> Answer:
    """Return the answer as it is, as an encoding for all values."""
    return answer


async def ask(
    model: ServedModel,
    request: InferRequest | None = None,
    *,
    pinned: str | None = None,
    header_s: float | None = None,
    encode: Encode[Answer] = as_is,
    **headers: str | None,
) -> Answer:
    """Send one request as HTTP and gRPC do; `headers` are key, request_id and slice_."""
    told: Any = {"key": None, **headers}
    ticket = model.admit(pinned=pinned, timeout_s=header_s, **told)
    return await model.answer(request or request_of(), ticket, encode)


def scale_of(answer: Answer) -> float:
    """Return the scale of the variant that answered a row of ones."""
    return float(answer.ran.outputs["y"][0, 0]) / FEATURES
