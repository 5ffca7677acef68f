"""What the keeper does when a gateway's circuit breaker has opened."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deployments.gateway_reports import aborts_folder
from deployments.keeper import Keeper
from serve.counting.breaker import Trip
from serve.rollout.api_records import RolloutRequest
from serve.rollout.pending_aborts import PendingAborts
from serve.rollout.state.policy import Guards, LatencyGuard, Policy, ShadowPolicy
from serve.rollout.state.rollout import Phase
from tests.deployments.keepers import Reporting, make_keeper

POLICY = Policy(shadow=ShadowPolicy(skip=True), guards=Guards(latency=LatencyGuard(limit_ms=50)))
REASON = "20 of the last 20 requests failed (ModelFailed 20), and the baseline answers"


@pytest.fixture(autouse=True)
def _looks_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the keeper's look rare, so that the report alone has an effect."""
    monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 60)


@asynccontextmanager
async def tripped(
    repository: Path, scratch: Path, **plan: Any
) -> AsyncIterator[tuple[Keeper, Reporting, str]]:
    """A keeper with a rollout at its first step, and a gateway that is about to say what has happened."""
    keeper, _ = await make_keeper(repository, scratch, **plan)
    gateway = Reporting(keeper, "one")
    await gateway.report()
    view = await keeper.command("start", "linear", RolloutRequest(candidate="light", policy=POLICY), "ann")
    await gateway.report()
    rollout = view.rollout.rollout
    gateway.trips = {"linear": Trip(rollout=rollout, reason=REASON)}
    try:
        yield keeper, gateway, rollout
    finally:
        keeper._ticking.cancel()
        keeper._store.close()


def weights_of(gateway: Reporting) -> dict[str, float]:
    """Return the weights that the gateway has."""
    return dict(gateway.catalog.models["linear"].routes.weights)


def test_the_reply_takes_the_traffic_back(repository: Path, tmp_path: Path) -> None:
    """The reply to the report gives the baseline all traffic, and the rollout has the author and reason."""

    async def scenario() -> tuple[Any, ...]:
        async with tripped(repository, tmp_path) as (keeper, gateway, rollout):
            before = weights_of(gateway)
            await gateway.report()
            after = (await keeper.command("view", rollout)).rollout
            return before, weights_of(gateway), after.phase, after.by, after.reason

    before, after, *end = asyncio.run(scenario())
    assert (before, after) == ({"base": 0.99, "light": 0.01}, {"base": 1.0, "light": 0.0})
    assert end == [Phase.ROLLED_BACK, "circuit breaker", REASON]


def test_it_is_written_once_and_computes_again(repository: Path, tmp_path: Path) -> None:
    """Repeated reports write one abort, and a replay finds no fault."""

    async def scenario() -> tuple[Any, ...]:
        async with tripped(repository, tmp_path) as (keeper, gateway, rollout):
            for _ in range(3):
                await gateway.report()
            await keeper._thread.wait(keeper._controller.save)
            actions = [line.action for line in await keeper.command("trail", "linear", 0)]
            return actions, (await keeper.command("replay", rollout)).faults

    actions, faults = asyncio.run(scenario())
    assert (actions[-2:], actions.count("abort"), faults) == (["start", "abort"], 1, ())


def test_it_waits_for_no_store(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply does not wait for a store that is locked."""
    monkeypatch.setattr("serve.rollout.store.schema._LOCK_TIMEOUT_S", 600)

    async def scenario() -> dict[str, float]:
        async with tripped(repository, tmp_path) as (_, gateway, _):
            other = sqlite3.connect(tmp_path / "rollouts.db", isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            try:
                async with asyncio.timeout(120):
                    await gateway.report()
                return weights_of(gateway)
            finally:
                other.close()

    assert asyncio.run(scenario()) == {"base": 1.0, "light": 0.0}


def test_a_rollout_that_is_over_is_left_alone(repository: Path, tmp_path: Path) -> None:
    """A report on a finished rollout does not affect the next one."""

    async def scenario() -> Phase:
        async with tripped(repository, tmp_path) as (keeper, gateway, _):
            await gateway.report()
            await keeper._thread.wait(keeper._controller.save)
            wanted = RolloutRequest(candidate="light", policy=POLICY)
            view = await keeper.command("start", "linear", wanted, "ann")
            await gateway.report()
            phase: Phase = (await keeper.command("view", view.rollout.rollout)).rollout.phase
            return phase

    assert asyncio.run(scenario()) is Phase.STEP


def test_who_aborted_while_no_keeper_answered_stands_in_the_trail(repository: Path, tmp_path: Path) -> None:
    """The trail has the author and reason of an abort that a gateway reports."""

    async def scenario() -> tuple[Any, ...]:
        async with tripped(repository, tmp_path) as (keeper, gateway, rollout):
            gateway.trips = {"linear": Trip(rollout=rollout, by="ann", reason="smoke")}
            await gateway.report()
            await keeper._thread.wait(keeper._controller.save)
            line = (await keeper.command("trail", "linear", 0))[-1]
            return line.action, line.by, line.reason

    assert asyncio.run(scenario()) == ("abort", "ann", "smoke")


def test_the_next_keeper_reads_what_was_aborted_without_one(repository: Path, tmp_path: Path) -> None:
    """A new keeper applies a pending abort before it judges."""

    async def scenario() -> tuple[Any, ...]:
        async with tripped(repository, tmp_path) as (keeper, _, rollout):
            PendingAborts(aborts_folder(tmp_path)).put(Trip(rollout=rollout, by="ann", reason="smoke"))
            keeper._store.close()
            another, _ = await make_keeper(repository, tmp_path)
            another._ticking.cancel()
            after = (await another.command("view", rollout)).rollout
            return after.phase, after.by, another._catalog.models["linear"].routes.share("light")

    assert asyncio.run(scenario()) == (Phase.ROLLED_BACK, "ann", 0.0)


def test_a_gateway_hears_for_how_long_nobody_judged(repository: Path, tmp_path: Path) -> None:
    """The reply to a report has the time since rollouts were last judged."""

    async def scenario() -> float:
        async with tripped(repository, tmp_path) as (keeper, gateway, _):
            keeper._controller._looked_s -= 3600
            return (await gateway.report()).unjudged_s

    assert asyncio.run(scenario()) >= 3600
