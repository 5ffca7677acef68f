"""A clock that moves only when all tasks wait, so that no test depends on speed."""

import asyncio
import selectors
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

from serve.engine import queue as batching

T = TypeVar("T")


class _Skipping(selectors.DefaultSelector):
    """A selector that does not wait but moves the clock to the next scheduled time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        assert events or timeout is not None, "everybody waits for something that will never come"
        if timeout and not events:
            self.now += timeout
        return events


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def now() -> float:
    """The time on the running loop's clock, in seconds."""
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let all tasks run as far as they can without time passing."""
    for _ in range(50):
        await asyncio.sleep(0)


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Return the scenario's result on a virtual clock. Fails if it would wait for ever."""
    clock = SimpleNamespace(perf_counter=now)
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner, patch.object(batching, "time", clock):
        return runner.run(scenario)
