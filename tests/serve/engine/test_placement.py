"""A variant in this process."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event, active_count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serve.base.errors import ModelFailed, RefusedInput
from serve.counting.journal import Journal, read_running
from serve.engine.placement import LocalPlacement
from serve.engine.session import Session, open_session
from tests.conftest import SIGNATURE, make_lookup
from tests.serve.queues import rows


@asynccontextmanager
async def placed(session: Session, runs: int = 1) -> AsyncIterator[LocalPlacement]:
    placement = LocalPlacement(session, runs)
    try:
        yield placement
    finally:
        placement.close()


def test_runs_the_session(module_repository: Path) -> None:
    """The placement gives the session's outputs and its CPU time."""

    async def scenario() -> float:
        async with placed(open_session(module_repository / "linear" / "light")) as placement:
            outputs, cpu_ms = await placement.run(rows(1))
            assert cpu_ms > 0
            return float(outputs["y"][0, 0])

    assert asyncio.run(scenario()) == 8.0


def slow(run: Callable[[Any], Any]) -> Any:
    """A session that calls this in place of a run."""
    return SimpleNamespace(name="slow", ranges={}, longest={}, signature=SIGNATURE, run=run)


def test_a_run_is_marked_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    """A run is in the journal from its start to its end, even if it fails or its caller left."""
    journal, leave = Journal(tmp_path, "one"), Event()

    def run(arrays: Any) -> None:
        leave.wait()
        raise ModelFailed("asked to fail")

    session: Any = SimpleNamespace(
        name="linear/slow", run=run, ranges={}, longest={}, signature=SIGNATURE, example=dict
    )

    async def scenario() -> None:
        placement = LocalPlacement(session, 1, journal.mark(session.name))
        asking = asyncio.create_task(placement.run(rows(1)))
        while not read_running(tmp_path, "one"):
            assert not asking.done()
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.wait([asking])
        assert read_running(tmp_path, "one") == {"linear/slow"}
        leave.set()
        await placement.ready()
        assert read_running(tmp_path, "one") == frozenset()
        placement.close()

    asyncio.run(scenario())


def test_an_input_that_the_graph_refuses_is_not_the_models_failure(tmp_path: Path) -> None:
    """The error names the input, its value and the valid range."""
    make_lookup(tmp_path)

    async def scenario() -> None:
        async with placed(open_session(tmp_path / "lookup" / "base")) as placement:
            with pytest.raises(RefusedInput, match="input 'x' has the value 9, expected -2 to 1"):
                await placement.run({"x": np.array([9])})

    asyncio.run(scenario())


def test_the_event_loop_stays_free_during_a_run() -> None:
    """The event loop runs other tasks during a run, and a readiness probe waits for the run's end."""
    leave = Event()
    session: Any = SimpleNamespace(
        name="slow", ranges={}, longest={}, signature=SIGNATURE, run=lambda _: leave.wait()
    )

    async def scenario() -> tuple[bool, bool]:
        async with placed(session) as placement:
            running = asyncio.create_task(placement.run(rows(1)))
            probe = asyncio.create_task(placement.ready())
            await asyncio.sleep(0.05)
            waits = not probe.done() and not running.done()
            leave.set()
            await running
            return waits, await probe

    try:
        assert asyncio.run(scenario()) == (True, True)
    finally:
        leave.set()


def test_a_run_under_way_is_known_by_its_beginning() -> None:
    """`since` is the start of the oldest run, even if its caller left, and None after it."""
    leave = Event()
    session: Any = SimpleNamespace(
        name="slow", ranges={}, longest={}, signature=SIGNATURE, run=lambda _: leave.wait()
    )

    async def scenario() -> None:
        async with placed(session) as placement:
            assert placement.since is None
            running = asyncio.create_task(placement.run(rows(1)))
            while placement.since is None:
                assert not running.done()
                await asyncio.sleep(0.001)
            running.cancel()
            await asyncio.sleep(0.01)
            assert placement.since <= time.monotonic()
            leave.set()
            await placement.ready()
            assert placement.since is None

    try:
        asyncio.run(scenario())
    finally:
        leave.set()


def test_as_many_runs_go_at_once_as_it_may_have() -> None:
    """With two runs allowed, two of three run at once."""
    leave = Event()
    begun: list[object] = []

    def run(_: object) -> None:
        begun.append(None)
        leave.wait()

    session: Any = slow(run)

    async def scenario() -> int:
        async with placed(session, runs=2) as placement:
            running = [asyncio.create_task(placement.run(rows(1))) for _ in range(3)]
            while len(begun) < 2:
                assert not any(task.done() for task in running)
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            under_way = len(begun)
            leave.set()
            await asyncio.gather(*running)
            return under_way

    try:
        assert asyncio.run(scenario()) == 2
    finally:
        leave.set()


def test_it_is_never_lost(module_repository: Path) -> None:
    """`lost` of a variant in this process never returns."""

    async def scenario() -> bool:
        async with placed(open_session(module_repository / "linear" / "base")) as placement:
            lost = asyncio.create_task(placement.lost())
            await asyncio.sleep(0.01)
            lost.cancel()
            return lost.done()

    assert asyncio.run(scenario()) is False


def test_closing_ends_the_thread(module_repository: Path) -> None:
    """Closing a placement ends its thread."""

    async def scenario() -> int:
        before = active_count()
        placement = LocalPlacement(open_session(module_repository / "linear" / "base"))
        await placement.run(rows(1))
        assert active_count() == before + 1
        placement.close()
        while active_count() > before:
            await asyncio.sleep(0.001)
        return active_count() - before

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == 0
