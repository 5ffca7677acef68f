"""The keeper: one replica that loads variants, runs rollouts, and tells the gateways."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deployments.catalog_file import CatalogFile
from deployments.gateway_reports import GatewayReport, Gateways, KeeperReply, aborts_folder, journals_of
from deployments.hosts import Hosts
from deployments.logs import ignore_log_errors
from deployments.loopback import close_doors
from deployments.meter import Meter
from deployments.repository_index import describe_bundles, find_loaded, list_variants, read_stored
from deployments.server_plan import ServerPlan
from deployments.store_thread import StoreThread
from deployments.version_plan import find_absent, line_up, plan_versions, recall_absent
from serve.base.errors import CounterweightError, InvalidBundle
from serve.bundles.repository import StoredModel
from serve.control.api import Bundles
from serve.control.commands import Commands
from serve.control.memory_operations import MemoryOperations
from serve.counting.breaker import Trip
from serve.counting.usage import Usage
from serve.engine.catalog import Catalog, IndexEntry, LoadedModel
from serve.rollout.controller import Controller
from serve.rollout.outbox import Outbox
from serve.rollout.pending_aborts import PendingAborts
from serve.rollout.store.store import Store
from serve.rollout.timeline import Timeline
from serve.rollout.unreported_counts import UnreportedCounts
from serve.rollout.webhook import Webhooks

_TICK_EVERY_S = 1.0
# An abort takes effect before it is written, so its caller waits at most this long for the write.
_WRITTEN_WITHIN_S = 0.5
_UNLOADED = "it was unloaded"
_log = logging.getLogger("counterweight.keeper")


class Keeper:
    """Loads and unloads variants, publishes the catalog, and runs the rollouts of the store. Loads and
    unloads run one at a time, and are done when every gateway serves the result."""

    async def __init__(self, plan: ServerPlan, scratch: str, server: int) -> None:  # type: ignore[misc]
        """`server` is the id of the process that started everything."""
        close_doors()
        ignore_log_errors()
        self._plan = plan
        self._hosts = Hosts(plan, Path(scratch))
        self._saved = CatalogFile(Path(scratch) / "catalog.json")
        self._catalog = Catalog()
        # `model/variant` -> the reason why it is not served.
        self._reasons: dict[str, str] = {}
        self._loading: set[str] = set()
        self._gateways = Gateways()
        self._unreported = UnreportedCounts(journals_of(plan.store, Path(scratch)).parent)
        self._meter = Meter(server)
        self._change = asyncio.Lock()
        self._thread = StoreThread()
        self._store = await self._thread.wait(Store, plan.store, "keeper", plan.seal_key)
        self._timeline = Timeline()
        self._webhooks = Webhooks()
        self._controller = Controller(
            self._store, self._timeline, self._webhooks.notify, Outbox(Path(scratch))
        )
        self._commands = Commands(self._controller, self._store, self._timeline)
        self._at_once = MemoryOperations(self._controller)
        if (saved := self._saved.read()) is not None:
            self._catalog, self._reasons = saved, recall_absent(saved)
            for model in self._catalog.models.values():
                await self._settle(model)
            self._refresh()
            # Before anything is judged: aborts that gateways received while no keeper answered.
            watches = [model.watch for model in self._catalog.models.values() if model.watch is not None]
            self._heed(PendingAborts(aborts_folder(Path(scratch))).find(watch.rollout for watch in watches))
        else:
            await self._load_plan()
        self._ticking = asyncio.create_task(self._tick_forever())

    def __del__(self) -> None:
        """Called by Ray at the end, so that the next keeper need not wait for the lease."""
        for name in ("_store", "_webhooks"):
            if (resource := getattr(self, name, None)) is not None:
                resource.close()

    def check_health(self) -> None:
        """Raise if the keeper no longer judges."""
        if self._ticking.done():
            raise CounterweightError("the keeper no longer judges its rollouts")

    async def sync(self, report: GatewayReport) -> KeeperReply:
        """Accept a gateway's report."""
        self._gateways.receive(report)
        self._hosts.store_shapes(report.shapes)
        for model, delta in report.deltas.items():
            self._controller.take(model, report.gateway, delta)
        self._heed(report.trips.values())
        return KeeperReply(
            catalog=None if report.revision == self._catalog.revision else self._catalog,
            others=self._gateways.loads(without=report.gateway),
            written=self._controller.written(report.gateway),
            unjudged_s=self._controller.unjudged_s,
        )

    def _heed(self, trips: Iterable[Trip]) -> None:
        for trip in trips:
            if self._controller.withdraw(trip.rollout, trip.by, trip.reason) is not None:
                self._refresh()

    async def command(self, name: str, *arguments: Any) -> Any:
        """Run one of `Commands`, and publish the changes to the gateways."""
        if name == "bundles":
            return await self._bundles(*arguments)
        try:
            if (answer := self._at_once.ask(name, *arguments)) is None:
                return await self._thread.wait(getattr(self._commands, name), *arguments)
            if name != "act":
                return answer
            self._refresh()
            await self._thread.save(self._controller.save, _WRITTEN_WITHIN_S, again=True)
            return self._at_once.view(arguments[0]) or answer
        finally:
            self._refresh()

    async def usage(self) -> Usage:
        """The usage of the server's processes so far."""
        return await asyncio.to_thread(self._meter.read, self._catalog, time.time())

    async def index(self) -> list[IndexEntry]:
        """Every variant of every model in the repository, by name."""
        return await asyncio.to_thread(
            list_variants, self._plan.repository, self._catalog, set(self._loading), dict(self._reasons)
        )

    async def _bundles(self, model: str) -> Bundles:
        stored = await asyncio.to_thread(read_stored, self._plan.repository, model)
        return describe_bundles(stored, self._catalog)

    async def load(self, model: str, variant: str | None) -> None:
        """See `serve.engine.catalog.Repository`."""
        async with self._change:
            stored = await asyncio.to_thread(read_stored, self._plan.repository, model)
            if variant is not None:
                stored.require_servable(variant)
            self._plan.require_proven(stored)
            requested = list(stored.servable) if variant is None else [variant]
            failures = await self._load(stored, requested, whole=variant is None)
        if failures:
            raise InvalidBundle("; ".join(f"{path}: {reason}" for path, reason in failures.items()))

    async def unload(self, model: str, variant: str | None) -> None:
        """See `serve.engine.catalog.Repository`."""
        async with self._change:
            current = find_loaded(self._catalog, model, variant)
            if variant is None:
                removed = list(current.variants)
                await self._thread.wait(self._controller.forget, model)
                await self._publish(self._catalog.drop(model))
            else:
                removed = [variant]
                left = current.without(variant)
                await self._settle(left)
                await self._publish(self._catalog.put(self._in_force(left)))
            self._reasons |= {f"{model}/{name}": _UNLOADED for name in removed}
            self._refresh()
            await self._hosts.remove([current.variants[name] for name in removed])

    async def _load_plan(self) -> None:
        models = await asyncio.to_thread(self._plan.read)
        await asyncio.gather(*(self._load(stored, list(stored.servable), whole=True) for stored in models))
        if not self._catalog.revision:
            # Nothing could be loaded, and the gateways are waiting for a catalog.
            await self._publish(Catalog(revision=1))

    async def _load(self, stored: StoredModel, requested: list[str], *, whole: bool) -> dict[str, str]:
        """Load these variants; with `whole`, also unload all others. Returns the reasons for failures."""
        before = self._catalog.models.get(stored.name)
        requested, current = plan_versions(stored, requested, before, whole=whole)
        paths = {f"{stored.name}/{name}" for name in requested}
        self._loading |= paths
        try:
            loaded, failures = await self._hosts.bring_up(stored, requested, current)
        finally:
            self._loading -= paths
        self._reasons = {path: why for path, why in self._reasons.items() if path not in paths} | failures
        kept = {} if current is None else current.variants
        variants = {name: kept[name] for name in kept if not whole or name in requested} | loaded
        routed = (await self._thread.wait(self._store.read, stored.name)).routes
        if (model := line_up(stored, variants, routed)) is None:
            await self._hosts.remove(loaded.values())
            return failures
        served = list(before.variants.values()) if before else []
        try:
            await self._settle(model, self._plan.routes_of(stored).weights if before is None else None)
        except CounterweightError:
            # The model gets no traffic, so its new hosts are stopped.
            await self._hosts.remove([new for new in loaded.values() if new not in served])
            raise
        failures |= await self._publish(self._catalog.put(self._in_force(model)))
        await self._hosts.remove([old for old in served if old not in variants.values()])
        return failures

    async def _settle(self, model: LoadedModel, weights: Mapping[str, float] | None = None) -> None:
        """Tell the controller which versions are loaded; `weights` is the initial split."""
        digests = {name: version.digest for name, version in model.variants.items()}
        await self._thread.wait(self._controller.settle, model.name, model.routes.baseline, digests, weights)
        state = self._controller.states[model.name]
        state.replicas = self._plan.processes_of(model.name)
        state.unserved = self._in_force(model).unserved
        state.task = model.task
        state.unproven = {name for name, version in model.variants.items() if version.unproven}

    async def _tick_forever(self) -> None:
        # Judging must not wait for the store.
        loop, judge = asyncio.get_running_loop(), ThreadPoolExecutor(1, thread_name_prefix="judge")
        while True:
            await asyncio.sleep(_TICK_EVERY_S)
            self._timeline.note(self._controller.clock.now_s(), self._gateways.loads())
            if self._controller.acts:
                await loop.run_in_executor(judge, self._unreported.deliver, self._controller.take)
            await loop.run_in_executor(judge, self._controller.look)
            self._refresh()
            await self._thread.save(self._controller.save, _TICK_EVERY_S)
            self._refresh()

    def _refresh(self) -> None:
        """Publish changed routes to the gateways."""
        catalog = self._catalog
        for model in self._catalog.models.values():
            if model.name in self._controller.states and (now := self._in_force(model)) != model:
                self._controller.states[model.name].unserved = now.unserved
                catalog = catalog.put(now)
        if catalog is not self._catalog or self._saved.behind:
            self._catalog = catalog
            self._saved.save(catalog)

    def _in_force(self, model: LoadedModel) -> LoadedModel:
        state = self._controller.states[model.name]
        absent = find_absent(model, self._reasons)
        return model.model_copy(update={"routes": state.routes, "watch": state.watch, "absent": absent})

    async def _publish(self, catalog: Catalog) -> dict[str, str]:
        """Publish a catalog, and wait until all gateways serve it. Returns what they could not load."""
        self._catalog = catalog
        self._saved.save(catalog)
        return await self._gateways.settle(catalog.revision)
