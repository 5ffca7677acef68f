"""Queues for tests, and requests for them."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from serve.base.settings import Settings
from serve.base.tensor import Arrays, Signature
from serve.counting.tally import Tally
from serve.engine.batch import Joining
from serve.engine.placement import Placement
from serve.engine.queue import Queue, Ran
from tests.conftest import FEATURES, SIGNATURE
from tests.serve.clock import now

_NO_PADS: Mapping[str, int] = {}

# A request's value, or the class of its error.
Outcomes = list[float | type[BaseException]]


def queue_of(
    placement: Placement,
    *,
    signature: Signature = SIGNATURE,
    full_rows: int = 8,
    pads: Mapping[str, int] = _NO_PADS,
    **settings: Any,
) -> Queue:
    """The queue of a variant that runs at `placement`."""
    joining = Joining(signature=signature, full_rows=full_rows, pads=pads)
    return Queue(placement, joining, Settings(**settings), Tally())


def rows(value: float, count: int = 1) -> Arrays:
    """A request of `linear`: `count` rows of the same value."""
    return {"x": np.full((count, FEATURES), value, np.float32)}


def ask(queue: Queue, arrays: Arrays, *, within_s: float = 10.0) -> "asyncio.Task[Ran]":
    """A request that is on its way."""
    return asyncio.create_task(queue.infer(arrays, now() + within_s))


def value_of(ran: Ran) -> float:
    """Return the value of a request's rows from its answer."""
    return float(ran.outputs["y"][0, 0]) / FEATURES


async def outcomes(asked: "Iterable[asyncio.Task[Ran]]") -> Outcomes:
    """Return the value or the type of error of each request."""
    came = await asyncio.gather(*asked, return_exceptions=True)
    return [type(answer) if isinstance(answer, BaseException) else value_of(answer) for answer in came]
