"""A gateway: a replica that listens for requests on a port that it shares with others, and answers them."""

import asyncio
import logging
import time
import uuid
from contextlib import nullcontext
from pathlib import Path
from weakref import WeakSet

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.gateway_reports import GatewayReport, aborts_folder, journals_of
from deployments.keeper import Keeper
from deployments.keeper_proxy import RemoteControl, RemoteRepository
from deployments.logs import ignore_log_errors
from deployments.loopback import close_doors
from deployments.server_plan import ServerPlan
from deployments.variant_replica import ReplicaPlacement
from serve.app.asgi import create_app
from serve.base.errors import CounterweightError, VariantUnavailable
from serve.counting.journal import open_journal
from serve.engine.catalog import Catalog, LoadedVariant
from serve.engine.placement import LocalPlacement, Placement
from serve.engine.registry import Registry
from serve.engine.session import open_session
from serve.http.http_server import HttpServer
from serve.observe.access_log import AccessLog
from serve.observe.observer import Observer
from serve.observe.tracing import make_tracer
from serve.oip.grpc_server import GrpcServer
from serve.oip.grpc_service import grpc_handler
from serve.rollout.pending_aborts import PendingAborts

_SYNC_EVERY_S = 0.5
_SYNC_TIMEOUT_S = 5.0
# A failed variant may have been unavailable only for a moment.
_RETRY_EVERY_S = 10.0
# How soon an abort that another gateway received takes effect here.
_HEED_EVERY_S = 0.25
_log = logging.getLogger("counterweight.gateway")


class Gateway:
    """One gateway. It is created only when it serves the keeper's catalog."""

    async def __init__(  # type: ignore[misc]
        self, plan: ServerPlan, keeper: "DeploymentHandle[Keeper]", scratch: str
    ) -> None:
        close_doors()
        ignore_log_errors()
        self._plan = plan
        self._keeper = keeper
        self._name = uuid.uuid4().hex
        self._journal = open_journal(journals_of(plan.store, Path(scratch)), self._name)
        # The sessions in this process, until they are closed.
        self._hosts: WeakSet[LocalPlacement] = WeakSet()
        self._registry = Registry(self._place, plan.settings, self._journal)
        self._pending_aborts = PendingAborts(aborts_folder(Path(scratch)))
        # The newest catalog that was received; the revision of the catalog that is completely applied; and
        # the variants that could not be loaded, with the reasons.
        self._catalog = Catalog()
        self._revision = 0
        self._failures: dict[str, str] = {}
        self._applying: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        while not self._revision:
            await self._sync()
            if self._applying is not None:
                await self._applying
        repository = RemoteRepository(keeper, self._registry.judging)
        access_log = None if plan.access_log is None else AccessLog(plan.access_log)
        observer = Observer(access_log, make_tracer())
        control = RemoteControl(keeper, self._registry, self._pending_aborts)
        app = create_app(self._registry, repository, control, plan.access, plan.settings, observer)
        self._http = HttpServer(app, plan.settings)
        self._http.start(plan.host, plan.port)
        self._grpc = GrpcServer(
            grpc_handler(self._registry, repository, plan.access, plan.settings, observer), plan.settings
        )
        await self._grpc.start(plan.host, plan.grpc_port)
        self._syncing = asyncio.create_task(self._sync_forever())
        self._heeding = asyncio.create_task(self._heed_forever())

    def check_health(self) -> None:
        """Raise if the gateway no longer listens. Also warms the sessions with new shapes."""
        if not self._http.running or self._syncing.done() or self._heeding.done():
            raise CounterweightError("the gateway no longer listens")
        for host in self._hosts:
            host.warm()

    async def _sync_forever(self) -> None:
        while True:
            await asyncio.sleep(_SYNC_EVERY_S)
            try:
                async with asyncio.timeout(_SYNC_TIMEOUT_S):
                    await self._sync()
            except (RayError, RayServeException, TimeoutError) as error:
                # The last known state stays in force, and counting goes on.
                _log.warning("the keeper does not answer: %s", type(error).__name__)

    async def _heed_forever(self) -> None:
        # Separate from sync, which may have to wait for the keeper.
        while True:
            await asyncio.sleep(_HEED_EVERY_S)
            for trip in self._pending_aborts.find(self._registry.rollouts):
                self._registry.stop(trip)

    async def _sync(self) -> None:
        report = GatewayReport(
            gateway=self._name,
            revision=self._revision,
            failures=self._failures,
            loads=self._registry.loads(),
            deltas=self._registry.deltas(),
            trips=self._registry.trips(),
            shapes=self._registry.shapes(),
        )
        reply = await self._keeper.sync.remote(report)
        self._registry.judging.note_reply(reply.unjudged_s)
        self._registry.others = reply.others
        self._registry.acknowledge(reply.written)
        if reply.catalog is not None:
            # Routes first, so that traffic does not wait for loading or unloading.
            self._registry.route(reply.catalog)
        if self._applying is not None and not self._applying.done():
            # Loading a large model takes longer than the keeper waits for a report.
            return
        if self._applying is not None:
            self._applying.result()
        if reply.catalog is not None:
            self._catalog = reply.catalog
        elif not self._failures or time.monotonic() < self._retry_at:
            return
        self._applying = asyncio.create_task(self._apply())

    async def _apply(self) -> None:
        catalog = self._catalog
        self._failures = await self._registry.apply(catalog)
        self._revision = catalog.revision
        self._retry_at = time.monotonic() + _RETRY_EVERY_S

    async def _place(self, version: LoadedVariant) -> Placement:
        if version.host is not None:
            placement = ReplicaPlacement(version.host, self._plan.replicas)
            # The first call resolves the route.
            if not await placement.ready():
                raise VariantUnavailable(f"{version.host} does not answer")
            return placement
        settings = self._plan.settings
        session = await asyncio.to_thread(open_session, Path(version.folder), threads=settings.threads)
        mark = nullcontext() if self._journal is None else self._journal.mark(session.name)
        host = LocalPlacement(session, settings.max_runs, mark)
        self._hosts.add(host)
        return host
