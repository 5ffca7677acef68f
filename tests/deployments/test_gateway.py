"""A gateway on its own sockets, with a keeper that the test controls."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx2
import pytest
from ray.exceptions import ActorDiedError

from deployments.gateway import Gateway
from deployments.gateway_reports import GatewayReport, KeeperReply, journals_of
from deployments.keeper_proxy import RemoteRepository
from deployments.ports import free_ports
from deployments.server_plan import ServerPlan
from serve.base.errors import InvalidBundle, RejectedBundle, VariantUnavailable
from serve.counting.journal import find_dead, lock_folder, read_running
from serve.counting.rollout_counter import Watch
from serve.engine.catalog import Catalog
from serve.engine.keeper_silence import LATE_S, KeeperSilence
from serve.engine.session import Session, open_session
from serve.oip.grpc_calls import SERVICE
from tests.conftest import make_bundle
from tests.deployments.replicas import raised_there
from tests.serve.endpoint import load_all
from tests.serve.host import Host

INFER = "/v2/models/linear/versions/light/infer"
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


class Sync:
    """Replaces a keeper's `sync`, with one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.reports: list[GatewayReport] = []
        # `remote` raises this error instead of an answer, if it is set.
        self.error: Exception | None = None

    async def remote(self, report: GatewayReport) -> KeeperReply:
        self.reports.append(report)
        if self.error is not None:
            raise self.error
        newer = report.revision != self.catalog.revision
        return KeeperReply(catalog=self.catalog if newer else None, others={}, written={})

    async def settle(self) -> None:
        """Return once the gateway serves the newest catalog."""
        while self.reports[-1].revision != self.catalog.revision:
            await asyncio.sleep(0.01)

    async def lose(self) -> None:
        """Let a rollout give `light` all traffic, then stop answering."""
        [model] = self.catalog.models.values()
        watch = Watch(rollout="r1", baseline="base", candidate="light", limit_ms=None, feedback=False)
        routes = model.routes.model_copy(update={"weights": {"base": 0.0, "light": 1.0}, "revision": 2})
        self.catalog = self.catalog.put(model.model_copy(update={"routes": routes, "watch": watch}))
        await self.settle()
        self.error = ActorDiedError()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.gateway.close_doors", lambda: None)
    monkeypatch.setattr("deployments.gateway._SYNC_EVERY_S", 0.01)
    monkeypatch.setattr("deployments.gateway._SYNC_TIMEOUT_S", 0.1)
    monkeypatch.setattr("deployments.gateway._RETRY_EVERY_S", 0.1)


@asynccontextmanager
async def running(repository: Path) -> AsyncIterator[tuple[Sync, httpx2.AsyncClient, Gateway, int]]:
    """A gateway that serves the repository; its keeper, a client, itself, and its port for gRPC."""
    port, grpc_port = free_ports(2)
    fields: dict[str, Any] = {
        "repository": repository,
        "weights": {},
        "placements": {"*": "together"},
        "host": "127.0.0.1",
        "port": port,
        "grpc_port": grpc_port,
        "store": f"sqlite:///{repository.parent}/rollouts.db",
    }
    lock = lock_folder(journals_of(fields["store"], repository.parent))
    sync = Sync(load_all(repository, {}))
    keeper: Any = SimpleNamespace(sync=sync)
    gateway = Gateway.__new__(Gateway)
    # Ray awaits the `__init__` of this class; Python does not, so the test calls it.
    await Gateway.__init__(gateway, ServerPlan.parse(fields, "test"), keeper, str(repository.parent))
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield sync, client, gateway, grpc_port
    finally:
        gateway._syncing.cancel()
        await gateway._http.stop()
        await gateway._grpc.stop()
        await gateway._registry.apply(Catalog(revision=99))
        os.close(lock)


async def first_output(client: httpx2.AsyncClient) -> float:
    value: float = (await client.post(INFER, json=BODY)).json()["outputs"][0]["data"][0]
    return value


def play(scenario: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, 120))


def test_it_serves_what_the_keeper_says_on_both_wires(repository: Path) -> None:
    """The gateway serves the keeper's catalog over HTTP and gRPC before it counts as started."""

    async def scenario() -> tuple[float, bytes]:
        async with running(repository) as (_, client, gateway, grpc_port):
            gateway.check_health()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
                ready: Any = channel.unary_unary(f"/{SERVICE}/ServerReady")
                return await first_output(client), await ready(b"")

    assert play(scenario()) == (20.0, b"\x08\x01")


def test_it_tells_the_keeper_what_it_counted(repository: Path) -> None:
    """The gateway reports its counts and the revision that it serves."""

    async def scenario() -> tuple[int, int]:
        async with running(repository) as (sync, client, _, _):
            await first_output(client)
            while not sync.reports[-1].loads or not sync.reports[-1].loads["linear", "light"].tally.requests:
                await asyncio.sleep(0.01)
            last = sync.reports[-1]
            return last.revision, last.loads["linear", "light"].tally.requests

    assert play(scenario()) == (1, 1)


def test_a_keeper_that_does_not_answer_stops_nobody(repository: Path) -> None:
    """Without the keeper the last catalog is served; the keeper's next answer applies."""

    async def scenario() -> tuple[float, float]:
        async with running(repository) as (sync, client, gateway, _):
            sync.error = ActorDiedError()
            while len(sync.reports) < 5:
                await asyncio.sleep(0.01)
            gateway.check_health()
            before = await first_output(client)
            make_bundle(repository, "light", scale=5)
            sync.catalog, sync.error = load_all(repository, {}).model_copy(update={"revision": 2}), None
            await sync.settle()
            return before, await first_output(client)

    assert play(scenario()) == (20.0, 50.0)


def test_a_version_that_takes_long_to_load_is_served_in_the_end(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway reports to the keeper while it loads a version slowly, and then serves that version."""

    def open_slowly(folder: Path, *, threads: int) -> Session:
        # This takes longer than the keeper's answer may take.
        time.sleep(0.3)
        return open_session(folder, threads=threads)

    async def scenario() -> tuple[bool, float]:
        async with running(repository) as (sync, client, _, _):
            monkeypatch.setattr("deployments.gateway.open_session", open_slowly)
            make_bundle(repository, "light", scale=5)
            sync.catalog = load_all(repository, {}).model_copy(update={"revision": 2})
            known = len(sync.reports)
            await sync.settle()
            meanwhile = [report for report in sync.reports[known:] if report.revision == 1]
            return len(meanwhile) >= 3, await first_output(client)

    assert play(scenario()) == (True, 50.0)


def test_a_change_is_told_when_the_old_version_has_answered(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway reports a new revision after the old version has answered its requests."""
    hosts: list[Host] = []

    def make_host(*_: object) -> Host:
        hosts.append(Host())
        return hosts[-1]

    async def scenario() -> tuple[int, int]:
        monkeypatch.setattr("deployments.gateway.LocalPlacement", make_host)
        async with running(repository) as (sync, client, _, _):
            old = list(hosts)
            for host in old:
                host.leave.clear()
            asked = asyncio.create_task(first_output(client))
            while not any(host.sizes for host in old):
                await asyncio.sleep(0.01)
            sync.catalog = sync.catalog.drop("linear")
            known = len(sync.reports)
            while len(sync.reports) < known + 5:
                await asyncio.sleep(0.01)
            early = sync.reports[-1].revision
            for host in old:
                host.leave.set()
            assert await asked == 10.0
            await sync.settle()
            return early, sync.reports[-1].revision

    assert play(scenario()) == (1, 2)


def test_its_journal_says_what_runs_in_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal names the running variant, and the gateway is not dead while it lives."""
    leave = threading.Event()

    def open_slowly(folder: Path, *, threads: int) -> Session:
        session = open_session(folder, threads=threads)
        run = session.run
        monkeypatch.setattr(session, "run", lambda arrays: leave.wait() and run(arrays))
        return session

    async def scenario() -> frozenset[str]:
        monkeypatch.setattr("deployments.gateway.open_session", open_slowly)
        async with running(repository) as (_, client, gateway, _):
            folder = journals_of(gateway._plan.store, repository.parent)
            asked = asyncio.create_task(first_output(client))
            while not (ran := read_running(folder, gateway._name)):
                await asyncio.sleep(0.01)
            leave.set()
            assert await asked == 20.0
            assert (read_running(folder, gateway._name), find_dead(folder)) == (frozenset(), [])
            return ran

    assert play(scenario()) == {"linear/light"}


def test_what_it_could_not_have_is_tried_again(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that failed to load is tried again until it loads."""
    tries: list[Path] = []

    def open_at_last(folder: Path, *, threads: int) -> Session:
        tries.append(folder)
        if len(tries) < 3:
            raise InvalidBundle("no memory")
        return open_session(folder, threads=threads)

    async def scenario() -> tuple[dict[str, str], float]:
        async with running(repository) as (sync, client, _, _):
            monkeypatch.setattr("deployments.gateway.open_session", open_at_last)
            make_bundle(repository, "light", scale=5)
            sync.catalog = load_all(repository, {}).model_copy(update={"revision": 2})
            await sync.settle()
            failures = sync.reports[-1].failures
            while sync.reports[-1].failures:
                await asyncio.sleep(0.01)
            return failures, await first_output(client)

    assert play(scenario()) == ({"linear/light": "no memory"}, 50.0)


@pytest.mark.parametrize(
    ("error", "comes"),
    [
        (raised_there(RejectedBundle("poor")), RejectedBundle),
        (ActorDiedError(), VariantUnavailable),
    ],
    ids=["the keeper's own", "no keeper"],
)
def test_the_repository_fails_as_the_keeper_does(error: Exception, comes: type[Exception]) -> None:
    """The keeper's error is raised with its own message; a missing keeper raises VariantUnavailable."""

    class Failing:
        async def remote(self, *arguments: Any) -> None:
            raise error

    keeper: Any = SimpleNamespace(load=Failing())
    with pytest.raises(comes) as caught:
        asyncio.run(RemoteRepository(keeper, KeeperSilence()).load("linear", None))
    assert type(caught.value) is comes
    assert "Traceback" not in str(caught.value)


def test_a_list_of_a_keeper_that_hangs_is_not_waited_for() -> None:
    """The index of a keeper that has been silent for too long is refused at once."""

    class Hanging:
        async def remote(self) -> None:
            await asyncio.sleep(3600)

    judging = KeeperSilence()
    judging.note_reply(0.0)
    judging._heard_s = time.monotonic() - 2 * LATE_S
    keeper: Any = SimpleNamespace(index=Hanging())
    with pytest.raises(VariantUnavailable, match="the keeper does not answer"):
        asyncio.run(RemoteRepository(keeper, judging).index())
