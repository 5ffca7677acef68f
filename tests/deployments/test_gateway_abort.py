"""Aborts that no keeper answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ray.exceptions import ActorDiedError

from deployments.gateway_reports import aborts_folder
from serve.base.errors import RefusedAction
from serve.counting.breaker import Trip
from serve.rollout.pending_aborts import PendingAborts
from tests.deployments.test_gateway import BODY, Sync, play, running
from tests.serve.local_control import LocalControl

TRIP = Trip(rollout="r1", by="local", reason="smoke in the kitchen")


class Gone:
    """Replaces the keeper's `command`: no keeper is there, and the call fails at once or after a long
    wait."""

    def __init__(self, *, hangs: bool) -> None:
        self.hangs = hangs

    async def remote(self, *command: Any) -> Any:
        """Raise ActorDiedError, perhaps after ten minutes."""
        await asyncio.sleep(600 if self.hangs else 0)
        raise ActorDiedError


class Late:
    """Replaces the keeper's `command`: the rollout was already aborted when the command arrived."""

    async def remote(self, name: str, *command: Any) -> Any:
        """Return the aborted rollout, or refuse to abort it again."""
        if name == "view":
            return LocalControl().keeper.command("view", "linear-20261122-152000-3f9a")
        await asyncio.sleep(0.1)
        raise RefusedAction("cannot abort rollout r1 in phase ROLLED_BACK")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.gateway.close_doors", lambda: None)
    monkeypatch.setattr("deployments.gateway._SYNC_EVERY_S", 0.01)
    monkeypatch.setattr("deployments.gateway._HEED_EVERY_S", 0.01)
    monkeypatch.setattr("deployments.keeper_proxy._ABORT_WITHIN_S", 0.01)
    monkeypatch.setattr("deployments.keeper_proxy._LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("serve.engine.keeper_silence.LATE_S", 0.01)


@asynccontextmanager
async def alone(
    repository: Path, *, command: Gone | Late | None = None
) -> AsyncIterator[tuple[httpx2.AsyncClient, Sync]]:
    """A gateway with a rollout to `light`, which has all traffic, and without a keeper."""
    async with running(repository) as (sync, client, gateway, _):
        keeper: Any = gateway._keeper
        keeper.command = command or Gone(hangs=False)
        await sync.lose()
        yield client, sync


async def abort(client: httpx2.AsyncClient, rollout: str = "r1") -> tuple[int, str]:
    """Abort a rollout and return the status and the text of the answer."""
    answer = await client.post(f"/control/rollouts/{rollout}/abort", json={"reason": TRIP.reason})
    return answer.status_code, answer.json()["error"]


async def answered_by(client: httpx2.AsyncClient) -> str:
    """Return the variant that answers a request."""
    variant: str = (await client.post("/v2/models/linear/infer", json=BODY)).json()["model_version"]
    return variant


@pytest.mark.parametrize("hangs", [False, True])
def test_an_abort_acts_without_a_keeper(repository: Path, hangs: bool) -> None:
    """Without a keeper, an abort sends all requests to the baseline and answers 202 with what follows."""

    async def scenario() -> tuple[Any, ...]:
        async with alone(repository, command=Gone(hangs=hangs)) as (client, _):
            before = await answered_by(client)
            return before, await abort(client), await answered_by(client)

    before, (status, said), after = play(scenario())
    assert (before, status, after) == ("light", 202, "base")
    assert "rollout r1 was aborted by local" in said
    assert "when the keeper is back" in said


def test_a_keeper_that_is_only_late_answers(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort that the keeper answers late succeeds, even if the rollout is over by then."""
    monkeypatch.setattr("serve.engine.keeper_silence.LATE_S", 600)

    async def scenario() -> tuple[int, str]:
        async with alone(repository, command=Late()) as (client, _):
            answer = await client.post("/control/rollouts/r1/abort", json={})
            return answer.status_code, await answered_by(client)

    assert play(scenario()) == (200, "base")


def test_the_next_keeper_hears_of_it(repository: Path) -> None:
    """The abort is reported to the next keeper with its author and reason, and stored as a pending abort."""

    async def scenario() -> Any:
        async with alone(repository) as (client, sync):
            await abort(client)
            sync.error = None
            while not sync.reports[-1].trips:
                await asyncio.sleep(0.01)
            return dict(sync.reports[-1].trips), PendingAborts(aborts_folder(repository.parent)).find(["r1"])

    assert play(scenario()) == ({"linear": TRIP}, [TRIP])


def test_every_gateway_acts(repository: Path) -> None:
    """An abort takes effect in every gateway, whichever one received it."""

    async def scenario() -> str:
        async with alone(repository) as (client, _):
            PendingAborts(aborts_folder(repository.parent)).put(TRIP)
            while (variant := await answered_by(client)) != "base":
                await asyncio.sleep(0.01)
            return variant

    assert play(scenario()) == "base"


def test_a_rollout_that_does_not_run_cannot_be_aborted_so(repository: Path) -> None:
    """Aborting another rollout without a keeper gives 503."""

    async def scenario() -> tuple[int, str]:
        async with alone(repository) as (client, _):
            return await abort(client, "r0")

    assert play(scenario())[0] == 503


def test_who_looks_at_a_rollout_hears_that_nobody_judges(repository: Path) -> None:
    """A rollout that is viewed while the keeper hangs gives 503 and says that nobody judges."""

    async def scenario() -> tuple[int, str]:
        async with alone(repository, command=Gone(hangs=True)) as (client, _):
            answer = await client.get("/control/rollouts/r1")
            return answer.status_code, answer.json()["error"]

    status, said = play(scenario())
    assert (status, said.startswith("the keeper does not answer, so nobody judges")) == (503, True)


def test_ready_says_that_nobody_judges(repository: Path) -> None:
    """`/v2/health/ready` is 200 with `judging: false` while no keeper judges."""

    async def scenario() -> tuple[int, Any]:
        async with alone(repository) as (client, _):
            while "judging" not in (answer := await client.get("/v2/health/ready")).json():
                await asyncio.sleep(0.01)
            return answer.status_code, answer.json()

    status, body = play(scenario())
    assert (status, body["ready"], body["judging"]) == (200, True, False)
