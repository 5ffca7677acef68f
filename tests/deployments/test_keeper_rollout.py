"""A rollout in the keeper, without Ray: what gateways get, and when."""

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deployments.keeper import Keeper
from serve.base.errors import CounterweightError, RefusedAction, StoreFailed
from serve.counting.rollout_counter import RolloutCounter
from serve.engine.catalog import LoadedModel
from serve.rollout.api_records import ActRequest, RolloutRequest, RolloutView, RoutesRequest
from serve.rollout.evidence.evidence import Comparison
from serve.rollout.state.policy import Guards, LatencyGuard, Policy, ShadowPolicy
from serve.rollout.state.rollout import Phase
from tests.conftest import make_bundle
from tests.deployments.keepers import NotedHosts, Reporting, make_keeper, reporting

POLICY = Policy(shadow=ShadowPolicy(minimum_pairs=500), guards=Guards(latency=LatencyGuard(limit_ms=50)))


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 0.01)


@asynccontextmanager
async def keeping(
    repository: Path, scratch: Path, **plan: Any
) -> AsyncIterator[tuple[Keeper, Reporting, NotedHosts]]:
    """A keeper that has loaded the repository, and a gateway with its catalog."""
    keeper, hosts = await make_keeper(repository, scratch, **plan)
    gateway = Reporting(keeper, "one")
    await gateway.report()
    try:
        yield keeper, gateway, hosts
    finally:
        keeper._ticking.cancel()
        keeper._store.close()


async def start(keeper: Keeper, candidate: str = "light") -> RolloutView:
    """Start a rollout."""
    wanted = RolloutRequest(candidate=candidate, policy=POLICY)
    view: RolloutView = await keeper.command("start", "linear", wanted, "ann")
    return view


def linear(gateway: Reporting) -> LoadedModel:
    """Return `linear` as the gateway has it."""
    return gateway.catalog.models["linear"]


async def tell_pairs(gateway: Reporting, pairs: int, counter: RolloutCounter | None = None) -> RolloutCounter:
    """Report that `pairs` agreed."""
    watch = linear(gateway).watch
    assert watch is not None
    counter = counter or RolloutCounter(watch)
    counter.copies.pairs += Comparison(pairs=pairs)
    delta = counter.delta(linear(gateway).routes.revision, {})
    assert delta is not None
    gateway.deltas = {"linear": delta}
    await gateway.report()
    return counter


async def until_share(gateway: Reporting, share: float) -> None:
    """Return when the candidate has this share."""
    while linear(gateway).routes.share("light") != share:
        await gateway.report()
        await asyncio.sleep(0.005)


def test_gateways_hear_of_a_rollout_with_their_next_report(repository: Path, tmp_path: Path) -> None:
    """The next report gets the shadow's share and the watch of a new rollout."""

    async def scenario() -> tuple[Any, ...]:
        async with keeping(repository, tmp_path) as (keeper, gateway, _):
            before = gateway.catalog.revision
            view = await start(keeper)
            await gateway.report()
            watch = linear(gateway).watch
            assert watch is not None
            return (
                watch.rollout == view.rollout.rollout,
                linear(gateway).routes.shadows,
                gateway.catalog.revision - before,
            )

    assert asyncio.run(scenario()) == (True, {"light": 1.0}, 1)


def test_what_gateways_tell_moves_traffic(repository: Path, tmp_path: Path) -> None:
    """Reported pairs let the candidate leave the shadow, and the delta is acknowledged."""

    async def scenario() -> tuple[Any, ...]:
        async with keeping(repository, tmp_path) as (keeper, gateway, _):
            await start(keeper)
            await gateway.report()
            await tell_pairs(gateway, 2000)
            await until_share(gateway, 0.01)
            return linear(gateway).routes.shadows, (await gateway.report()).written

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == ({}, {"linear": 1})


def test_a_sheet_is_acknowledged_when_it_is_written_down(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delta is not acknowledged before it is written."""
    monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 60)

    async def scenario() -> Any:
        async with keeping(repository, tmp_path) as (keeper, gateway, _):
            await start(keeper)
            await gateway.report()
            await tell_pairs(gateway, 2000)
            return (await gateway.report()).written

    assert asyncio.run(scenario()) == {}


def test_a_refused_command_changes_nothing(repository: Path, tmp_path: Path) -> None:
    """A refused command raises its error and does not change the catalog."""

    async def scenario() -> int:
        async with keeping(repository, tmp_path) as (keeper, gateway, _):
            await start(keeper)
            await gateway.report()
            before = gateway.catalog.revision
            with pytest.raises(RefusedAction, match="abort it before you set routes"):
                await keeper.command("set_routes", "linear", RoutesRequest(weights={"light": 1}), "bob")
            await gateway.report()
            return gateway.catalog.revision - before

    assert asyncio.run(scenario()) == 0


def test_routes_that_are_set_are_heard_with_the_next_report(repository: Path, tmp_path: Path) -> None:
    """New routes are in the next report and in the store, for the next start."""

    async def scenario() -> tuple[float, float]:
        async with keeping(repository, tmp_path) as (keeper, gateway, _):
            await keeper.command(
                "set_routes", "linear", RoutesRequest(weights={"base": 1, "light": 3}), "bob"
            )
            await gateway.report()
            heard = linear(gateway).routes.share("light")
        # A new server on the same store has loaded nothing yet.
        (tmp_path / "other").mkdir()
        store = f"sqlite:///{tmp_path}/rollouts.db"
        async with keeping(repository, tmp_path / "other", store=store) as (_, gateway, _):
            return heard, linear(gateway).routes.share("light")

    assert asyncio.run(scenario()) == (0.75, 0.75)


def test_a_candidate_that_is_unloaded_ends_its_rollout(repository: Path, tmp_path: Path) -> None:
    """Unloading a candidate ends its rollout, and the same change gives the baseline all traffic."""

    async def scenario() -> tuple[Any, ...]:
        async with keeping(repository, tmp_path) as (keeper, _, _), reporting(keeper) as gateway:
            view = await start(keeper)
            await keeper.command("act", view.rollout.rollout, "promote", ActRequest(), "ann")
            await keeper.unload("linear", "light")
            after = await keeper.command("view", view.rollout.rollout)
            return linear(gateway).watch, linear(gateway).routes.weights, after.rollout.reason

    assert asyncio.run(scenario()) == (None, {"base": 1.0}, "light is not loaded any more")


def test_a_new_version_of_the_candidate_ends_its_rollout(repository: Path, tmp_path: Path) -> None:
    """Loading another version of the candidate ends its rollout."""

    async def scenario() -> tuple[Phase, str]:
        async with keeping(repository, tmp_path) as (keeper, _, _), reporting(keeper):
            view = await start(keeper)
            make_bundle(repository, "light", scale=5)
            await keeper.load("linear", "light")
            rollout = (await keeper.command("view", view.rollout.rollout)).rollout
            return rollout.phase, rollout.reason

    phase, reason = asyncio.run(scenario())
    assert (phase, "another version" in reason) == (Phase.ROLLED_BACK, True)


def test_a_keeper_that_is_made_anew_goes_on(repository: Path, tmp_path: Path) -> None:
    """A new keeper continues at the same step, and counts that were not written are reported again."""

    async def scenario() -> tuple[Any, ...]:
        async with keeping(repository, tmp_path) as (keeper, gateway, _):
            view = await start(keeper)
            await gateway.report()
            counter = await tell_pairs(gateway, 300)
            while not (written := (await gateway.report()).written):
                await asyncio.sleep(0.005)
            counter.acknowledge(written["linear"])
            keeper._ticking.cancel()
            await tell_pairs(gateway, 50, counter)
        async with keeping(repository, tmp_path) as (keeper, _, _):
            gateway.keeper = keeper
            while (await gateway.report()).written != {"linear": 2}:
                await asyncio.sleep(0.005)
            after = await keeper.command("view", view.rollout.rollout)
            return after.rollout == view.rollout, after.evidence.shadow.pairs, linear(gateway).routes.shadows

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == (True, 350, {"light": 1.0})


def test_a_store_that_is_away_ends_nothing(repository: Path, tmp_path: Path) -> None:
    """While the store is away, routes stay and commands are refused; the rollout goes on afterwards."""
    (tmp_path / "store").mkdir()

    async def scenario() -> tuple[Any, ...]:
        store = f"sqlite:///{tmp_path}/store/rollouts.db"
        async with keeping(repository, tmp_path, store=store) as (keeper, gateway, _):
            view = await start(keeper)
            await gateway.report()
            (tmp_path / "store").rename(tmp_path / "away")
            await tell_pairs(gateway, 2000)
            with pytest.raises(StoreFailed):
                await keeper.command("act", view.rollout.rollout, "pause", ActRequest(), "ann")
            await asyncio.sleep(0.1)
            keeper.check_health()
            away = (await gateway.report()).written, linear(gateway).routes.shadows
            (tmp_path / "away").rename(tmp_path / "store")
            await until_share(gateway, 0.01)
            return away

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == ({}, {"light": 1.0})


def test_an_abort_is_heard_while_the_store_is_locked(repository: Path, tmp_path: Path) -> None:
    """An abort reaches the gateways while the store is locked, and is written afterwards."""

    async def scenario() -> tuple[Any, ...]:
        async with keeping(repository, tmp_path) as (keeper, gateway, _):
            view = await start(keeper)
            await keeper.command("act", view.rollout.rollout, "promote", ActRequest(), "ann")
            await gateway.report()
            other = sqlite3.connect(tmp_path / "rollouts.db")
            other.execute("BEGIN IMMEDIATE")
            waits = asyncio.create_task(keeper.command("trail", "linear", 0))
            aborted = await keeper.command("act", view.rollout.rollout, "abort", ActRequest(), "bob")
            listed = await keeper.command("rollouts", "linear")
            await gateway.report()
            heard = waits.done(), linear(gateway).routes.share("light"), linear(gateway).watch
            other.rollback()
            other.close()
            await waits
            while (await keeper.command("view", view.rollout.rollout)).warnings:
                await asyncio.sleep(0.01)
            trail = await keeper.command("trail", "linear", 0)
            return heard, aborted.rollout.phase, listed[0].phase, trail[-1].action

    heard, phase, listed, action = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert heard == (False, 0.0, None)
    assert (phase, listed, action) == (Phase.ROLLED_BACK, Phase.ROLLED_BACK, "abort")


def test_a_full_disk_keeps_no_route_from_the_gateways(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An abort reaches the gateways with a full disk, and the outbox is written when there is space."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    async def scenario() -> tuple[Any, ...]:
        async with keeping(repository, tmp_path) as (keeper, gateway, _):
            view = await start(keeper)
            with monkeypatch.context() as full:
                full.setattr(Path, "replace", fail)
                await keeper.command("act", view.rollout.rollout, "abort", ActRequest(), "ann")
                await gateway.report()
                heard = linear(gateway).watch, linear(gateway).routes.shadows
                behind = keeper._saved.behind
            while keeper._saved.behind:
                await asyncio.sleep(0.01)
            return heard, behind, keeper._saved.read() == keeper._catalog

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == ((None, {}), True, True)


def test_what_cannot_be_written_down_is_not_loaded(repository: Path, tmp_path: Path) -> None:
    """A version whose load cannot be stored is removed, and the old one stays."""
    (tmp_path / "store").mkdir()

    async def scenario() -> bool:
        store = f"sqlite:///{tmp_path}/store/rollouts.db"
        async with keeping(repository, tmp_path, store=store) as (keeper, gateway, hosts):
            await gateway.report()
            await start(keeper)
            before = gateway.catalog.models["linear"].variants
            newer = make_bundle(repository, "light", scale=5.0)
            (tmp_path / "store").rename(tmp_path / "away")
            with pytest.raises(StoreFailed):
                await keeper.load("linear", "light")
            await gateway.report()
            (tmp_path / "away").rename(tmp_path / "store")
            assert gateway.catalog.models["linear"].variants == before
            return [gone.digest for gone in hosts.removed] == [newer.digest]

    assert asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_keeper_that_no_longer_looks_is_not_healthy(repository: Path, tmp_path: Path) -> None:
    """A keeper whose loop has ended fails its health check."""

    async def scenario() -> None:
        async with keeping(repository, tmp_path) as (keeper, _, _):
            keeper.check_health()
            keeper._ticking.cancel()
            await asyncio.wait([keeper._ticking])
            with pytest.raises(CounterweightError, match="no longer judges"):
                keeper.check_health()

    asyncio.run(scenario())
