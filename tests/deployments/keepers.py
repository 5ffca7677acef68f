"""A keeper without Ray, with noted hosts and gateways that the test controls."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

from deployments.gateway_reports import GatewayReport, KeeperReply
from deployments.keeper import Keeper
from deployments.server_plan import ServerPlan
from serve.bundles.repository import StoredModel
from serve.counting.breaker import Trip
from serve.counting.count_delta import CountDelta
from serve.counting.tally import Loads, Tally, VariantLoad
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant
from serve.engine.shapes import Shape


class NotedHosts:
    """Replaces `deployments.hosts.Hosts`: each host is ready at once, except for broken ones."""

    def __init__(self, plan: ServerPlan, scratch: Path) -> None:
        # `model/variant` -> why it cannot be loaded.
        self.broken: dict[str, str] = {}
        self.removed: list[LoadedVariant] = []
        self.shapes: list[Mapping[str, Sequence[Shape]]] = []
        # Hosts start only while this is set.
        self.leave = asyncio.Event()
        self.leave.set()

    def store_shapes(self, told: Mapping[str, Sequence[Shape]]) -> None:
        """Note the shapes."""
        self.shapes.append(told)

    async def bring_up(
        self, stored: StoredModel, wanted: Iterable[str], current: LoadedModel | None
    ) -> tuple[dict[str, LoadedVariant], dict[str, str]]:
        """Return the versions that are on disk."""
        await self.leave.wait()
        loaded: dict[str, LoadedVariant] = {}
        failures: dict[str, str] = {}
        for name in wanted:
            path = f"{stored.name}/{name}"
            if path in self.broken:
                failures[path] = self.broken[path]
                continue
            digest = stored.bundles[name].digest
            loaded[name] = LoadedVariant(digest=digest, folder=f"/{digest}", host=None, full_rows=8)
        return loaded, failures

    async def remove(self, versions: Iterable[LoadedVariant]) -> None:
        """Note the versions."""
        self.removed += versions


class Reporting:
    """A gateway that reports when a test says so."""

    def __init__(self, keeper: Keeper, name: str) -> None:
        self.keeper = keeper
        self.name = name
        self.catalog = Catalog()
        self.failures: dict[str, str] = {}
        self.tally = Tally()
        self.in_flight = 0
        self.deltas: dict[str, CountDelta] = {}
        self.trips: dict[str, Trip] = {}
        self.shapes: dict[str, tuple[Shape, ...]] = {}

    async def report(self, *, apply: bool = True) -> KeeperReply:
        """Report the counts; with `apply`, also serve the keeper's catalog at once."""
        load = VariantLoad(tally=deepcopy(self.tally), in_flight=self.in_flight, waiting_rows=0)
        loads: Loads = {("linear", "base"): load}
        reply = await self.keeper.sync(
            GatewayReport(
                gateway=self.name,
                revision=self.catalog.revision,
                failures=self.failures,
                loads=loads,
                deltas=self.deltas,
                trips=self.trips,
                shapes=self.shapes,
            )
        )
        if apply and reply.catalog is not None:
            self.catalog = reply.catalog
        return reply

    async def report_for_ever(self) -> None:
        """Report every 5 ms, as gateways do less often."""
        while True:
            await self.report()
            await asyncio.sleep(0.005)

    async def others(self) -> VariantLoad:
        """Return the counts of the other gateways for the baseline."""
        return (await self.report()).others[("linear", "base")]


async def make_keeper(repository: Path, scratch: Path, **plan: Any) -> tuple[Keeper, NotedHosts]:
    """A keeper that has loaded the repository."""
    fields: dict[str, Any] = {
        "repository": repository,
        "weights": {},
        "placements": {"*": "together"},
        "host": "127.0.0.1",
        "port": 8000,
        "grpc_port": 8001,
        "store": f"sqlite:///{scratch}/rollouts.db",
    }
    made: list[NotedHosts] = []

    def make_hosts(plan: ServerPlan, scratch: Path) -> NotedHosts:
        made.append(NotedHosts(plan, scratch))
        return made[0]

    with patch("deployments.keeper.Hosts", make_hosts), patch("deployments.keeper.close_doors"):
        keeper = Keeper.__new__(Keeper)
        # Ray awaits the `__init__` of this class; Python does not, so the test calls it.
        await Keeper.__init__(keeper, ServerPlan.parse(fields | plan, "test"), str(scratch), os.getpid())
    return keeper, made[0]


@asynccontextmanager
async def reporting(keeper: Keeper, name: str = "one") -> AsyncIterator[Reporting]:
    """A gateway that reports all the time."""
    gateway = Reporting(keeper, name)
    task = asyncio.create_task(gateway.report_for_ever())
    try:
        yield gateway
    finally:
        task.cancel()
