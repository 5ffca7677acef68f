"""Shadows for tests: a model that copies its requests, and faulty hosts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from serve.base.errors import ModelFailed, RefusedInput
from serve.base.tensor import Arrays
from serve.counting.rollout_counter import Watch
from serve.counting.shadow_results import ShadowResults
from serve.engine.model import ServedModel
from serve.engine.placement import Run
from tests.serve.clock import run
from tests.serve.host import Host
from tests.serve.served_model import Hosts, ask, request_of, routes, serving

WATCH = Watch(rollout="r1", baseline="base", candidate="light", limit_ms=None, feedback=False)
# This is longer than a shadow waits, and than anything in these tests takes.
LATER_S = 60.0


class Odd(Host):
    """A host that changes the right outputs by a function and keeps its inputs."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__()
        self.asked: list[Arrays] = []
        self._answer = answer

    async def run(self, arrays: Arrays) -> Run:
        """Run the arrays as `Host` does."""
        self.asked.append(arrays)
        outputs, cpu_ms = await super().run(arrays)
        answer = self._answer(outputs["y"])
        return answer if isinstance(answer, dict) else {"y": answer}, cpu_ms


def other(y: Any) -> Any:
    """Return outputs with another top class than the baseline's first."""
    return y + np.array([0, 2, 0], np.float32)


@asynccontextmanager
async def shadowed(
    hosts: Hosts, shadows: Mapping[str, float] | None = None, **settings: Any
) -> AsyncIterator[ServedModel]:
    """`linear` with all traffic at its baseline, and copies for `light`, which a rollout watches."""
    async with serving(hosts, **settings) as model:
        model.route(routes({"base": 1}, shadows or {"light": 1.0}), WATCH)
        yield model


def copies_of(model: ServedModel) -> ShadowResults:
    """Return the copies that the rollout has counted."""
    assert model.counter is not None
    return model.counter.copies


def compared(light: Host, requests: int = 1) -> ShadowResults:
    """Return the copies of `requests` consecutive requests."""

    async def scenario() -> ShadowResults:
        async with shadowed({"base": Host(), "light": light}) as model:
            for number in range(requests):
                answer = await ask(model, request_of(number))
                assert (answer.variant, answer.parameters) == ("base", {})
            await asyncio.sleep(LATER_S)
            return copies_of(model)

    return run(scenario())


def faulty(fault: str) -> Host:
    """Return a host with this fault."""
    if fault in _ANSWERS:
        return Odd(_ANSWERS[fault])
    light = Host(run_s=9 if fault == "is slow" else 0)
    light.error = _ERRORS.get(fault)
    if fault == "hangs":
        light.leave.clear()
    elif fault in ("is gone", "crashes"):
        light.vanish(noticed=fault == "is gone")
    return light


_ANSWERS: Mapping[str, Callable[[Any], Any]] = {
    "answers one row": lambda y: y[:1],
    "answers other columns": lambda y: y[:, :2],
    "answers strings": lambda y: y.astype("U"),
    "answers nothing": lambda y: {},
    "answers NaN": lambda y: y * np.nan,
}
_ERRORS = {
    "fails": ModelFailed("no idea"),
    "refuses": RefusedInput("expected 0 to 30"),
    "breaks": RuntimeError("a bug"),
}
FAULTS = ("hangs", "is slow", "is gone", "crashes", *_ERRORS, *_ANSWERS)
