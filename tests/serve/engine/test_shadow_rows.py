"""How a shadow compares requests with many rows, and why it drops copies."""

import asyncio
from typing import Any

import numpy as np
import pytest

from serve.counting.shadow_results import ShadowResults
from serve.engine.shadow_copy import Copy
from serve.rollout.evidence.evidence import Clusters, Drop
from tests.serve.clock import run
from tests.serve.host import Host
from tests.serve.served_model import ask, request_of
from tests.serve.shadows import LATER_S, Odd, copies_of, faulty, other, shadowed


async def copied(light: Host, *counts: int, pause_s: float = 0.0, **settings: Any) -> ShadowResults:
    """Return the copies of requests with these numbers of rows."""
    async with shadowed({"base": Host(), "light": light}, **settings) as model:
        for count in counts:
            await ask(model, request_of(count=count))
            await asyncio.sleep(pause_s)
        light.leave.set()
        await asyncio.sleep(LATER_S)
        return copies_of(model)


@pytest.mark.parametrize("light", [Odd(other), faulty("fails")], ids=["differs", "fails"])
def test_pairs_are_counted_by_their_requests(light: Host) -> None:
    """Differing rows are counted per request: three rows of one request and two of another."""
    assert run(copied(light, 3, 2)).pairs.clusters == Clusters(
        requests=2, differing=2, differ_squares=13, products=13, squares=13
    )


def test_a_request_that_never_fits_is_compared_in_part() -> None:
    """Of a request that exceeds the shadow's room, as many rows as fit are compared and none is dropped."""
    light = Host()
    copies = run(copied(light, 100, pause_s=1, max_shadow_rows=20))
    assert (copies.pairs.pairs, copies.pairs.disagreements, copies.dropped) == (20, 0, 0)
    assert copies.pairs.clusters.requests == 1


def test_a_part_keeps_rows_and_answers_together() -> None:
    """A part has random rows in their order, each once, with their own answers."""
    x = np.arange(100)
    part = Copy({"x": x}, {"y": x * 2}, 100, "a", "de").part(10)
    assert (part.rows, part.request_id, part.slice) == (10, "a", "de")
    assert (part.outputs["y"] == 2 * part.arrays["x"]).all()
    assert (np.diff(part.arrays["x"]) > 0).all()


def test_a_part_that_is_hardly_worth_a_run_is_dropped() -> None:
    """A part below a quarter of the room is dropped: 16 of 20 rows wait, so only four would fit."""
    copies = run(copied(faulty("hangs"), 16, 100, max_shadow_rows=20))
    assert (copies.pairs.pairs, copies.dropped, copies.drops) == (16, 100, {Drop.FULL: 100})


def test_a_copy_is_dropped_for_a_reason() -> None:
    """A copy for a shadow that is down is dropped for that reason."""

    async def scenario() -> ShadowResults:
        light = Host()
        async with shadowed({"base": Host(), "light": light}) as model:
            light.vanish()
            await asyncio.sleep(1)
            await ask(model)
            return copies_of(model)

    assert run(scenario()).drops == {Drop.DOWN: 1}
