"""A gRPC server with fake models and a repository that notes its calls."""

import asyncio
import queue
import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton

from serve.base.access import Access
from serve.base.errors import (
    DeadlineExceeded,
    InvalidBundle,
    ModelFailed,
    Overloaded,
    UnknownVariant,
    VariantUnavailable,
)
from serve.base.routing import Routes
from serve.base.settings import Settings
from serve.bundles.unserved import Unserved
from serve.counting.tally import Loads, Tally, VariantLoad
from serve.engine.catalog import IndexEntry
from serve.engine.registry import Registry
from serve.engine.request import InferRequest
from serve.observe.observer import Observer
from serve.oip.grpc_service import grpc_handler
from tests.conftest import SIGNATURE

FAILURES = {
    "down": VariantUnavailable("down is gone"),
    "full": Overloaded("the queue is full", 1),
    "late": DeadlineExceeded("too late"),
    "broken": ModelFailed("no idea"),
    "buggy": ZeroDivisionError("password"),
}


class FakeModel:
    """A model whose variants answer the row's sum, fail by their name, or report the limits they got."""

    name = "linear"
    signature = SIGNATURE
    forms = (SIGNATURE,)
    labels = ("a", "b", "c")
    sizes: Mapping[str, int] = {}
    longest: Mapping[str, int] = {"steps": 64}
    text = None
    unserved = Unserved(rejected={"poor": "accuracy 0.50"})
    variants = ("base", "light", *FAILURES)
    routes = Routes(model="linear", baseline="base", weights={"base": 1})

    def __init__(self) -> None:
        self.tallies = {name: Tally() for name in self.variants}
        self.tallies["base"].requests = 3

    def require(self, variant: str) -> Any:
        if variant not in self.variants:
            raise UnknownVariant(f"no {variant!r} here")
        return SimpleNamespace(name=variant)

    def admit(self, *, pinned: str | None, key: str | None, timeout_s: float | None, **_: Any) -> Any:
        chosen = "light" if key == "somebody" else "base"
        return SimpleNamespace(variant=self.require(pinned or chosen).name, timeout_s=timeout_s)

    async def answer(self, request: InferRequest, ticket: Any, encode: Any) -> Any:
        if failure := FAILURES.get(ticket.variant):
            raise failure
        sums = np.add(request.arrays["x"].astype(np.float32).sum(axis=1, keepdims=True), [0, 1, 2])
        parameters = {"asked_s": request.timeout_s or 0.0, "left_s": ticket.timeout_s or 0.0}
        ran = SimpleNamespace(outputs={"y": sums.astype(np.float32)})
        return encode(SimpleNamespace(variant=ticket.variant, ran=ran, parameters=parameters))

    async def ready(self, variant: str | None = None) -> bool:
        return (variant is None or self.require(variant)) and variant != "down"


class FakeRegistry:
    """A registry with one model and no other gateways."""

    def __init__(self) -> None:
        self.models = {"linear": FakeModel()}

    def counted(self) -> Loads:
        tallies = self.models["linear"].tallies
        return {
            ("linear", name): VariantLoad(tally=tally, in_flight=0, waiting_rows=0)
            for name, tally in tallies.items()
        }


class FakeRepository:
    """A repository that notes its calls."""

    def __init__(self, told: list[tuple[str, str, str | None]]) -> None:
        self.told = told

    async def index(self) -> list[IndexEntry]:
        return [
            IndexEntry(name="linear", version="base", state="READY", reason=""),
            IndexEntry(name="linear", version="poor", state="UNAVAILABLE", reason="rejected"),
        ]

    async def load(self, model: str, variant: str | None) -> None:
        if model == "spoilt":
            raise InvalidBundle("its digest is wrong")
        self.told.append(("load", model, variant))

    async def unload(self, model: str, variant: str | None) -> None:
        self.told.append(("unload", model, variant))


@pytest.fixture(scope="module")
def repository_told() -> list[tuple[str, str, str | None]]:
    """The calls that the repository got."""
    return []


@pytest.fixture(scope="module")
def address(repository_told: list[tuple[str, str, str | None]]) -> Iterator[str]:
    """A gRPC server with the service, in a thread of its own."""
    ports: queue.Queue[int] = queue.Queue()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        registry = cast("Registry", FakeRegistry())
        server = grpc.aio.server()
        repository = FakeRepository(repository_told)
        access, settings = Access(loopback=True), Settings(max_batch_rows=8)
        handler = grpc_handler(registry, repository, access, settings, Observer())
        server.add_generic_rpc_handlers((handler,))
        ports.put(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        await done.wait()
        await server.stop(None)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield f"127.0.0.1:{ports.get(timeout=60)}"
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address) as client:
        yield client
