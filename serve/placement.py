"""Placement: where a variant runs. One seam for both: arrays in, arrays out."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serve.session import Session
from serve.tensor import Arrays


class Placement(Protocol):
    """The host of one variant, wherever it is."""

    # How many runs it can work on at once.
    runs: int

    async def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """The model's outputs. Raises ModelFailed or VariantUnavailable."""
        ...

    async def ready(self) -> bool:
        """Whether a run would be answered now."""
        ...

    async def lost(self) -> None:
        """Return when what answered `ready` last is gone, as far as that can be known; else never."""
        ...

    def close(self) -> None:
        """Let go of what it holds; no run comes after it."""
        ...


class Together:
    """A session in this process, on a thread of its own so that the event loop stays free."""

    runs = 1

    def __init__(self, session: Session) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"onnx-{session.name}")
        # When the run that is under way began, on the clock of time.monotonic; None: there is none.
        self.since: float | None = None

    async def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """The model's outputs. Raises ModelFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, arrays)

    async def ready(self) -> bool:
        """Whether the thread is free to take a run."""
        await asyncio.get_running_loop().run_in_executor(self._thread, _nothing)
        return True

    async def lost(self) -> None:
        """Never: what ends this process ends who would wait."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """Let the thread end, and with it the session go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        # In the thread: who waits may give up, and the run goes on.
        self.since = time.monotonic()
        try:
            return self._session.run(arrays)
        finally:
            self.since = None


def _nothing() -> None:
    """What a free thread does at once, and one that hangs never."""
