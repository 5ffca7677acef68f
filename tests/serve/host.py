"""Host: a placement for tests, which can wait, fail, vanish and come back as a remote one does."""

import asyncio
import math
from collections.abc import Callable

import numpy as np

from serve.base.errors import ModelFailed, VariantUnavailable
from serve.base.tensor import Arrays
from serve.engine.batch import Outputs
from serve.engine.catalog import LoadedVariant
from serve.engine.placement import Placement, Run
from tests.conftest import CLASSES


class Host:
    """Answers `y` [rows, 3]: `scale` times each row's sum, as the graph of `linear` does; a row with an
    infinity in it makes the model fail."""

    def __init__(self, *, scale: float = 1.0, runs: int = 1, run_s: float = 0.0) -> None:
        self.runs = runs
        # The number of rows of each run, in the order in which they began.
        self.sizes: list[int] = []
        # Runs end only while this is set.
        self.leave = asyncio.Event()
        self.leave.set()
        # The error that every run raises, if there is one.
        self.error: BaseException | None = None
        self.closed = False
        # The error of a run that has an infinity in its input.
        self.failure: BaseException = ModelFailed("asked to fail")
        # Rows of this value get NaN as their answer.
        self.spoilt = math.inf
        # Changes each answer.
        self.bend: Callable[[Outputs], Outputs] = lambda outputs: outputs
        self._scale = scale
        self._run_s = run_s
        self._up = True
        self._gone = asyncio.Event()

    async def run(self, arrays: Arrays) -> Run:
        """Run the arrays as `serve.engine.placement.Placement` does."""
        assert not self.closed, "no run comes after the placement was let go"
        rows = arrays["x"].astype(np.float32)
        self.sizes.append(len(rows))
        if self._run_s:
            await asyncio.sleep(self._run_s)
        await self.leave.wait()
        if not self._up:
            raise VariantUnavailable("the host did not answer: ActorDiedError; try again")
        if self.error is not None:
            raise self.error
        if np.isinf(rows).any():
            raise self.failure
        # The cost of a row is its scale.
        cpu_ms = self._scale * len(rows)
        sums = np.where(rows[:, :1] == self.spoilt, np.nan, rows.sum(axis=1, keepdims=True))
        answer: Outputs = {"y": np.repeat(self._scale * sums, CLASSES, axis=1).astype(np.float32)}
        return self.bend(answer), cpu_ms

    async def ready(self) -> bool:
        """Return whether the host is there."""
        return self._up

    async def lost(self) -> None:
        """Return when the host is gone."""
        await self._gone.wait()

    def close(self) -> None:
        """Close the host."""
        self.closed = True

    def vanish(self, *, noticed: bool = True) -> None:
        """Lose the host; `noticed`: the loss is visible at once."""
        self._up = False
        if noticed:
            self._gone.set()

    def come_back(self) -> None:
        """Bring the host back."""
        self._up = True
        self._gone = asyncio.Event()


class Stuck:
    """Hosts whose runs end when the test releases them."""

    def __init__(self) -> None:
        self._hosts: list[Host] = []

    async def place(self, version: LoadedVariant) -> Placement:
        """Return a host as `serve.engine.registry.Place` does."""
        host = Host()
        host.leave.clear()
        self._hosts.append(host)
        return host

    async def let_go(self) -> None:
        """Let every run end."""
        for host in self._hosts:
            host.leave.set()
