"""A model that a rollout watches, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from serve.base.routing import Routes
from serve.counting.count_delta import Choice, CountDelta
from serve.counting.rollout_counter import Watch
from serve.engine.model import ServedModel
from tests.serve.served_model import Hosts, routes, serving, two

# The revision, whether a key decided, and the chosen variant.
BASE: Choice = (3, False, "base")
LIGHT: Choice = (3, False, "light")


def watch(rollout: str = "r1", *, limit_ms: float | None = None, feedback: bool = False) -> Watch:
    """Return the watch of a rollout from `base` to `light`."""
    return Watch(rollout=rollout, baseline="base", candidate="light", limit_ms=limit_ms, feedback=feedback)


def to(variant: str, revision: int = 3) -> Routes:
    """Return routes that give this variant all traffic."""
    return routes({variant: 1}, revision=revision)


@asynccontextmanager
async def watched(
    variant: str = "light", hosts: Hosts | None = None, **settings: Any
) -> AsyncIterator[ServedModel]:
    """`linear` with all its traffic at one variant, while a rollout watches."""
    async with serving(hosts or two(), **settings) as model:
        model.route(to(variant), watch())
        yield model


def sheet_of(model: ServedModel) -> CountDelta:
    """Return the current delta."""
    delta = model.delta()
    assert delta is not None
    return delta


def counts_of(model: ServedModel) -> dict[Choice, tuple[int, int]]:
    """Return the requests and errors of the current delta."""
    delta = model.delta()
    counts = {} if delta is None else delta.counts
    return {choice: (count.requests, count.errors) for choice, count in counts.items()}
