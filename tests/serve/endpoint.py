"""Endpoint: the whole HTTP side of a gateway on the loopback interface, without Ray."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2

from deployments.ports import free_ports
from serve.app.asgi import create_app
from serve.base.access import Access
from serve.base.routing import Routes
from serve.base.settings import Settings
from serve.bundles.repository import read_repository
from serve.counting.rollout_counter import Watch
from serve.engine.catalog import Catalog, IndexEntry, LoadedModel, LoadedVariant
from serve.engine.placement import LocalPlacement, Placement
from serve.engine.registry import Place, Registry
from serve.engine.session import open_session
from serve.http.http_server import HttpServer
from serve.observe.observer import Observer
from tests.serve.local_control import LocalControl

T = TypeVar("T")
Told = list[tuple[str, str, str | None]]


async def together(version: LoadedVariant) -> Placement:
    """The variant in this process."""
    return LocalPlacement(open_session(Path(version.folder)))


class NotingRepository:
    """A repository that notes what it receives and does nothing."""

    def __init__(self) -> None:
        self.told: Told = []
        # The error that every change raises, if there is one.
        self.error: Exception | None = None

    async def index(self) -> list[IndexEntry]:
        """Two variants, one of which was rejected."""
        return [
            IndexEntry(name="linear", version="base", state="READY", reason=""),
            IndexEntry(name="linear", version="poor", state="UNAVAILABLE", reason="it was rejected: poor"),
        ]

    async def load(self, model: str, variant: str | None) -> None:
        """Note the load."""
        self._note("load", model, variant)

    async def unload(self, model: str, variant: str | None) -> None:
        """Note the unload."""
        self._note("unload", model, variant)

    def _note(self, verb: str, model: str, variant: str | None) -> None:
        if self.error is not None:
            raise self.error
        self.told.append((verb, model, variant))


def load_all(repository: Path, weights: Mapping[str, Mapping[str, float]]) -> Catalog:
    """Every servable variant in the repository; a model without weights gives everything to its baseline."""
    models = {}
    for name, stored in read_repository(repository).items():
        given = weights.get(name, {stored.baseline: 1.0})
        versions = {
            variant: LoadedVariant(
                digest=bundle.digest, folder=str(stored.folder / variant), host=None, full_rows=8
            )
            for variant, bundle in stored.servable.items()
        }
        routes = Routes(model=name, baseline=stored.baseline, weights=given)
        models[name] = LoadedModel(
            name=name,
            signature=stored.signature,
            task="classification",
            routes=routes,
            variants=versions,
            rejected=stored.rejected,
        )
    return Catalog(revision=1, models=models)


@dataclass(kw_only=True)
class Endpoint:
    """A server in a thread of its own while the context lasts, with every model of a repository."""

    repository: Path
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    place: Place = together
    observer: Observer = field(default_factory=Observer)
    shelf: NotingRepository = field(default_factory=NotingRepository)
    access: Access = field(default_factory=lambda: Access(loopback=True))
    control: LocalControl = field(default_factory=LocalControl)
    make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop

    def __enter__(self) -> Self:
        self._loop = self.make_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.registry = Registry(self.place, self.settings)
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx2.Client(base_url=self.url, timeout=30)
        try:
            self.call(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            self.client.close()
            self.call(self._stop())
        finally:
            self._end()

    def wait_for_requests(self, count: int) -> None:
        """Return once the models have `count` requests in flight."""
        while sum(load.in_flight for load in self.registry.loads().values()) < count:
            time.sleep(0.001)

    def call(self, scenario: Coroutine[Any, Any, T]) -> T:
        """Return the scenario's result, run on the server's event loop."""
        return asyncio.run_coroutine_threadsafe(scenario, self._loop).result(30)

    def watched(self, rollout: str | None) -> None:
        """Set the rollout of `linear` that runs; None: none runs."""
        model = self.registry.models["linear"]
        watch = None
        if rollout is not None:
            watch = Watch(rollout=rollout, baseline="base", candidate="light", limit_ms=None, feedback=False)

        async def route() -> None:
            model.route(model.routes, watch)

        self.call(route())

    async def _start(self) -> None:
        catalog = load_all(self.repository, self.weights)
        assert await self.registry.apply(catalog) == {}
        self.control.load(self.repository, catalog)
        app = create_app(self.registry, self.shelf, self.control, self.access, self.settings, self.observer)
        self._server = HttpServer(app, self.settings)
        self._server.start("127.0.0.1", self.port)

    async def _stop(self) -> None:
        await self._server.stop()
        await self.registry.apply(Catalog(revision=2))
        # Tasks that are still open get a turn of the loop to end.
        await asyncio.sleep(0)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
