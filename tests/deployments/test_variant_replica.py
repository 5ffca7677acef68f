"""The gateway's side of a variant in its own replica, without Ray."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import ReplicaUnavailableError

from deployments.variant_replica import ReplicaPlacement, VariantReplica
from serve.base.errors import CounterweightError, InvalidRequest, ModelFailed, VariantUnavailable
from serve.base.settings import Settings
from serve.engine.placement import LocalPlacement
from serve.engine.shapes import Shapes, shapes_path, write_shapes
from tests.deployments.replicas import raised_there

ARRAYS: dict[str, NDArray[np.generic]] = {"x": np.ones((2, 4), np.float32)}
# One item per call: an answer, or the error to raise.
Answers = list[Any]


class Method:
    """A method of a replica, as a handle has it."""

    def __init__(self, answers: Answers) -> None:
        self.calls = 0
        self._answers = answers

    async def remote(self, *arguments: Any) -> Any:
        self.calls += 1
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def make_apart(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[ReplicaPlacement, Method]]:
    """A function that makes a placement whose replica gives set answers."""

    def make(*answers: Any, replicas: int = 1, process: int = 0) -> tuple[ReplicaPlacement, Method]:
        run = Method(list(answers))
        handle = SimpleNamespace(run=run, ready=Method([("here", process)]))
        handle.options = lambda **_: handle
        monkeypatch.setattr("deployments.variant_replica.ray_serve.get_deployment_handle", lambda *_: handle)
        monkeypatch.setattr("deployments.variant_replica._node", lambda: "here")
        return ReplicaPlacement("linear.light.0", replicas), run

    return make


def test_an_answer_comes_back(make_apart: Any) -> None:
    """The replica's answer is returned unchanged."""
    apart, _ = make_apart({"y": 1})
    assert asyncio.run(apart.run(ARRAYS)) == {"y": 1}


@pytest.mark.parametrize("error", [ModelFailed("no idea"), InvalidRequest("no UTF-8")], ids=repr)
def test_an_error_of_ours_is_what_the_replica_raised(make_apart: Any, error: CounterweightError) -> None:
    """An error of ours keeps its class and message and is not tried again."""
    apart, run = make_apart(raised_there(error), replicas=2)
    with pytest.raises(type(error)) as caught:
        asyncio.run(apart.run(ARRAYS))
    assert (type(caught.value), str(caught.value), run.calls) == (type(error), str(error), 1)


@pytest.mark.parametrize("error", [ActorDiedError(), ReplicaUnavailableError("x")], ids=repr)
def test_a_lost_replica_is_a_variant_that_is_unavailable(make_apart: Any, error: Exception) -> None:
    """A lost replica raises VariantUnavailable and is not tried again."""
    apart, run = make_apart(error)
    with pytest.raises(VariantUnavailable, match=r"linear\.light\.0 did not answer"):
        asyncio.run(apart.run(ARRAYS))
    assert run.calls == 1


def test_a_second_replica_is_asked_where_there_is_one(make_apart: Any) -> None:
    """A failed call is tried once more, on a second replica."""
    apart, run = make_apart(ActorDiedError(), {"y": 1}, replicas=3)
    assert asyncio.run(apart.run(ARRAYS)) == {"y": 1}
    assert run.calls == 2


def test_no_third_replica_is_asked(make_apart: Any) -> None:
    """A call that fails on two replicas is not tried on a third."""
    apart, run = make_apart(ActorDiedError(), ActorDiedError(), {"y": 1}, replicas=3)
    with pytest.raises(VariantUnavailable):
        asyncio.run(apart.run(ARRAYS))
    assert run.calls == 2


def test_a_bug_in_a_replica_is_no_lost_host(make_apart: Any) -> None:
    """An unexpected exception in a replica raises ModelFailed and is not tried again."""
    apart, run = make_apart(raised_there(ZeroDivisionError("ours")), replicas=2)
    with pytest.raises(ModelFailed, match="ZeroDivisionError"):
        asyncio.run(apart.run(ARRAYS))
    assert run.calls == 1


def test_the_end_of_the_only_replica_is_seen(make_apart: Any) -> None:
    """`lost` returns when the process of the only replica ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        apart, _ = make_apart(process=process.pid)

        async def scenario() -> bool:
            assert await apart.ready()
            lost = asyncio.create_task(apart.lost())
            await asyncio.sleep(0.05)
            early = lost.done()
            process.kill()
            await asyncio.wait_for(lost, 60)
            return early

        assert asyncio.run(scenario()) is False


def test_a_replica_that_ended_before_anybody_looked_is_lost(make_apart: Any) -> None:
    """`lost` returns at once if the process has already ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    apart, _ = make_apart(process=process.pid)

    async def scenario() -> None:
        assert await apart.ready()
        await asyncio.wait_for(apart.lost(), 60)

    asyncio.run(scenario())


def test_one_replica_of_several_is_nobodys_loss(make_apart: Any) -> None:
    """If one of several replicas is lost, the others answer."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    apart, _ = make_apart(process=process.pid, replicas=2)

    async def scenario() -> None:
        assert await apart.ready()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(apart.lost(), 0.05)

    asyncio.run(scenario())


def make_replica(folder: Any, **settings: Any) -> VariantReplica:
    return VariantReplica(str(folder), Settings(**settings))


@pytest.fixture(autouse=True)
def _open_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.variant_replica.close_doors", lambda: None)
    monkeypatch.setattr("deployments.variant_replica._node", lambda: "here")


def test_a_replica_answers_and_is_healthy(module_repository: Any) -> None:
    """A replica answers, is healthy, and reports its node and process."""

    async def scenario() -> tuple[float, tuple[str, int]]:
        replica = make_replica(module_repository / "linear" / "light")
        outputs, _ = await replica.run(ARRAYS)
        replica.check_health()
        return float(outputs["y"][0, 0]), await replica.ready()

    value, (node, process) = asyncio.run(scenario())
    assert (value, node) == (8.0, "here")
    assert process > 0


def test_a_replica_that_grew_too_much_is_replaced(module_repository: Any) -> None:
    """The health check fails once the memory has grown by more than its limit."""
    replica = make_replica(module_repository / "linear" / "light", max_growth_bytes=1)
    held = b"1" * 2**26
    with pytest.raises(VariantUnavailable, match="its memory has grown by 64 MiB"):
        replica.check_health()
    assert len(held) == 2**26


def test_a_replica_that_hangs_is_replaced(module_repository: Any) -> None:
    """The health check fails once a run takes longer than twice its timeout."""
    leave = threading.Event()

    async def scenario() -> None:
        session: Any = SimpleNamespace(
            name="hangs",
            ranges={},
            longest={},
            signature=SimpleNamespace(inputs=()),
            run=lambda _: leave.wait(),
            take_cold=list,
        )
        replica = make_replica(module_repository / "linear" / "light", run_timeout_s=0.01)
        replica._host = LocalPlacement(session)
        replica.check_health()
        running = asyncio.create_task(replica.run(ARRAYS))
        while replica._host.since is None:
            assert not running.done()
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        with pytest.raises(VariantUnavailable, match=r"a run has taken over 0\.02 s"):
            replica.check_health()
        leave.set()
        await running
        replica.check_health()

    try:
        asyncio.run(scenario())
    finally:
        leave.set()


def test_a_replica_is_warm_when_it_is_there_and_stays_so(repository: Path) -> None:
    """A replica has run the known shapes when it is ready, and runs new ones at its health check."""
    folder = repository / "linear" / "light"
    shapes = Shapes()
    shapes.see(((6, 4),))
    write_shapes(shapes_path(folder, "linear"), shapes)
    replica = make_replica(folder)
    session = replica._host._session
    assert session.warmed == {((6, 4),)}
    shapes.see(((30, 4),))
    write_shapes(shapes_path(folder, "linear"), shapes)
    replica.check_health()
    replica._host._threads.shutdown(wait=True)
    assert session.warmed == {((6, 4),), ((30, 4),)}
