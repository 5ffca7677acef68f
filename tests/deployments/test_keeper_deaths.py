"""The counts of gateways that died are used once, and their running variants are charged with the death."""

import asyncio
import fcntl
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.gateway_reports import journals_of
from deployments.keeper import Keeper
from serve.counting.journal import Journal, lock_folder
from serve.counting.rollout_counter import Admitted, RolloutCounter
from serve.rollout.api_records import ActRequest, RolloutRequest
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.state.policy import Guards, LatencyGuard, Policy, ShadowPolicy
from serve.rollout.state.rollout import Phase
from tests.deployments.keepers import Reporting, make_keeper

POLICY = Policy(shadow=ShadowPolicy(skip=True), guards=Guards(latency=LatencyGuard(limit_ms=50)))


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 0.01)


@pytest.fixture(autouse=True)
def lock(tmp_path: Path) -> Iterator[int]:
    """A running server that holds its lock."""
    lock = lock_folder(journals(tmp_path))
    yield lock
    os.close(lock)


def journals(scratch: Path) -> Path:
    """Return the journals' folder beside the store of `make_keeper`."""
    return journals_of(f"sqlite:///{scratch}/rollouts.db", scratch)


class Mortal:
    """A gateway with a journal."""

    def __init__(self, gateway: Reporting, scratch: Path) -> None:
        loaded = gateway.catalog.models["linear"]
        assert loaded.watch is not None
        self.gateway = gateway
        self.journal = Journal(journals(scratch), gateway.name)
        self.counter: RolloutCounter = self.journal.counter("linear", loaded.watch)
        self.revision = loaded.routes.revision
        self.admitted: defaultdict[str, list[Admitted]] = defaultdict(list)

    def ask(self, variant: str, times: int) -> None:
        """Admit `times` requests."""
        for _ in range(times):
            self.admitted[variant].append(self.counter.admit((self.revision, False, variant), None))

    def answer(self, variant: str, times: int) -> None:
        """Answer `times` requests."""
        for _ in range(times):
            self.counter.end(self.admitted[variant].pop(), failed=False, ms=1.0, request_id="")

    async def tell(self) -> None:
        """Report the counts as gateways do."""
        delta = self.counter.delta(self.revision, {})
        assert delta is not None
        self.gateway.deltas = {"linear": delta}
        written = (await self.gateway.report()).written.get("linear")
        if written is not None:
            self.counter.acknowledge(written)

    def die(self) -> None:
        """Release the lock as the kernel does when the process ends; the pages stay."""
        fcntl.flock(self.journal._file, fcntl.LOCK_UN)


async def begin(repository: Path, scratch: Path) -> tuple[Keeper, Mortal]:
    """A keeper whose rollout runs, and a gateway that counts for it."""
    keeper, _ = await make_keeper(repository, scratch)
    await keeper.command("start", "linear", RolloutRequest(candidate="light", policy=POLICY), "ann")
    return keeper, await gateway_of(keeper, scratch, "one")


async def gateway_of(keeper: Keeper, scratch: Path, name: str) -> Mortal:
    """Return a gateway that has the rollout."""
    gateway = Reporting(keeper, name)
    await gateway.report()
    return Mortal(gateway, scratch)


def evidence_of(keeper: Keeper) -> Evidence:
    return keeper._controller.states["linear"].present.evidence


def counted(keeper: Keeper) -> int:
    """Return the number of requests in the evidence."""
    return sum(segment.requests.both for segment in evidence_of(keeper).segments)


async def until_forgotten(scratch: Path) -> None:
    """Return when no journal is left."""
    while [path for path in journals(scratch).iterdir() if path.name != "server.lock"]:
        await asyncio.sleep(0.005)


async def end(keeper: Keeper) -> None:
    """Stop the keeper."""
    keeper._ticking.cancel()
    await asyncio.wait([keeper._ticking])
    keeper._store.close()


async def counted_by_another(repository: Path, scratch: Path) -> int:
    """Return the counts of the next keeper, once it has read all journals."""
    keeper, _ = await make_keeper(repository, scratch)
    await until_forgotten(scratch)
    await end(keeper)
    return counted(keeper)


def test_what_a_gateway_had_not_told_counts_when_it_is_gone(repository: Path, tmp_path: Path) -> None:
    """A dead gateway's unreported counts are added to the reported ones, and its journal is deleted."""

    async def scenario() -> int:
        keeper, gateway = await begin(repository, tmp_path)
        gateway.ask("base", 10)
        while not counted(keeper):
            await gateway.tell()
            await asyncio.sleep(0.005)
        gateway.ask("base", 7)
        gateway.die()
        await until_forgotten(tmp_path)
        await end(keeper)
        return counted(keeper)

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == 17


def test_what_it_had_told_to_a_keeper_that_died_too_counts_once(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delta that was reported to a keeper that died is read from the journal and counts once."""
    monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 60)

    async def scenario() -> int:
        keeper, gateway = await begin(repository, tmp_path)
        gateway.ask("base", 10)
        await gateway.tell()
        gateway.ask("base", 7)
        gateway.die()
        await end(keeper)
        monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 0.01)
        return await counted_by_another(repository, tmp_path)

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == 17


def test_what_is_written_down_is_not_counted_by_the_next_keeper(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts that were written are not added again if the journal was not deleted."""
    monkeypatch.setattr("serve.rollout.unreported_counts.delete_journal", lambda *_: None)

    async def scenario() -> int:
        keeper, gateway = await begin(repository, tmp_path)
        gateway.ask("base", 17)
        gateway.die()
        while not counted(keeper):
            await asyncio.sleep(0.005)
        await end(keeper)
        monkeypatch.undo()
        monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 0.01)
        return await counted_by_another(repository, tmp_path)

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == 17


def test_what_a_server_that_was_killed_had_counted_counts_with_the_next_one(
    repository: Path, tmp_path: Path, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next server uses the counts of a killed one, does not blame the candidate, and deletes the
    journals."""
    monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 60)

    async def scenario() -> tuple[int, Evidence]:
        keeper, gateway = await begin(repository, tmp_path)
        gateway.ask("light", 17)
        with gateway.journal.mark("linear/light"):
            gateway.die()
            fcntl.flock(lock, fcntl.LOCK_UN)
        await end(keeper)
        monkeypatch.setattr("deployments.keeper._TICK_EVERY_S", 0.01)
        (scratch := tmp_path / "other").mkdir()
        second, _ = await make_keeper(repository, scratch, store=f"sqlite:///{tmp_path}/rollouts.db")
        while journals(tmp_path).exists():
            await asyncio.sleep(0.005)
        await end(second)
        return counted(second), evidence_of(second)

    total, evidence = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert total == 17
    assert (evidence.deaths.both, sum(segment.errors.both for segment in evidence.segments)) == (0, 0)


def test_what_a_candidate_took_along_are_its_errors(repository: Path, tmp_path: Path) -> None:
    """Requests in flight of the running candidate count as errors, and those of the idle baseline do not."""

    async def scenario() -> tuple[int, int]:
        keeper, gateway = await begin(repository, tmp_path)
        gateway.ask("light", 5)
        gateway.ask("base", 9)
        gateway.answer("light", 2)
        with gateway.journal.mark("linear/light"):
            gateway.die()
            await until_forgotten(tmp_path)
        await end(keeper)
        [segment] = evidence_of(keeper).segments
        return segment.errors.baseline, segment.errors.candidate

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == (0, 3)


def test_a_candidate_that_ends_three_gateways_is_rolled_back(repository: Path, tmp_path: Path) -> None:
    """A candidate that ran in three gateways that died is rolled back, whether it had requests or copies."""

    async def scenario() -> tuple[Phase, str, bool]:
        keeper, first = await begin(repository, tmp_path)
        running = keeper._controller.states["linear"]
        others = [await gateway_of(keeper, tmp_path, name) for name in ("two", "three")]
        before = []
        for gateway in (first, *others):
            before.append(running.present.rollout)
            with gateway.journal.mark("linear/light"):
                gateway.die()
                while len(evidence_of(keeper).sheets) < len(before):
                    await asyncio.sleep(0.005)
        while running.running is not None:
            await asyncio.sleep(0.005)
        await end(keeper)
        rollout = running.present.rollout
        assert rollout is not None
        return rollout.phase, rollout.reason, all(each and not each.phase.over for each in before)

    phase, reason, lived = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert (phase, lived) == (Phase.ROLLED_BACK, True)
    assert reason.startswith("3 gateways died while running it")


def test_a_journal_of_a_rollout_that_is_over_is_deleted(repository: Path, tmp_path: Path) -> None:
    """The journal of a finished rollout is deleted."""

    async def scenario() -> None:
        keeper, gateway = await begin(repository, tmp_path)
        gateway.ask("base", 10)
        await keeper.command("act", gateway.counter.watch.rollout, "abort", ActRequest(), "ann")
        gateway.die()
        await until_forgotten(tmp_path)
        await end(keeper)

    asyncio.run(asyncio.wait_for(scenario(), 60))
