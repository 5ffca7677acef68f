"""Where a variant runs. Placements share one interface: arrays in, arrays out."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from serve.base.tensor import Arrays
from serve.engine.input_faults import run_checked
from serve.engine.session import Session

# The outputs of a run, and the CPU milliseconds of the thread that ran it.
Run = tuple[dict[str, NDArray[np.generic]], float]
_NO_MARK = nullcontext()
T = TypeVar("T")
R = TypeVar("R")


class Placement(Protocol):
    """The host of one variant."""

    # The number of simultaneous runs.
    runs: int

    async def run(self, arrays: Arrays) -> Run:
        """The model's outputs. Raises RefusedInput, ModelFailed or VariantUnavailable."""
        ...

    async def ready(self) -> bool:
        """Whether it can run now."""
        ...

    async def lost(self) -> None:
        """Return when the process that answered `ready` last is gone, if that can be detected; else never."""
        ...

    def close(self) -> None:
        """Release all resources; no run follows."""
        ...


class LocalPlacement:
    """A session in this process. Each of its simultaneous runs has a thread, so that the event loop is not
    blocked."""

    def __init__(
        self, session: Session, runs: int = 1, mark: AbstractContextManager[None] = _NO_MARK
    ) -> None:
        """`mark` is held during each run."""
        self.runs = runs
        self._mark = mark
        self._session = session
        self._threads = ThreadPoolExecutor(runs, thread_name_prefix=f"onnx-{session.name}")
        self._closed = False
        # Thread -> the start of its present run, on the clock of time.monotonic.
        self._began: dict[int, float] = {}

    @property
    def since(self) -> float | None:
        """The start of the oldest run in progress, on the clock of time.monotonic; None if there is none."""
        return min(self._began.copy().values(), default=None)

    async def run(self, arrays: Arrays) -> Run:
        """The model's outputs. Raises RefusedInput or ModelFailed."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._work, self._run, arrays)

    async def ready(self) -> bool:
        """Whether a thread is free for a run."""
        await asyncio.get_running_loop().run_in_executor(self._threads, _nothing)
        return True

    async def lost(self) -> None:
        """Never returns: when this process ends, nobody waits any more."""
        await asyncio.Event().wait()

    def warm(self) -> None:
        """Run the shapes that the model's runs had elsewhere, one by one between the runs of requests,
        without waiting for them."""
        for shape in () if self._closed else self._session.take_cold():
            self._threads.submit(self._work, self._session.warm, shape)

    def close(self) -> None:
        """Stop the threads, and release the session with them."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _work(self, work: Callable[[T], R], argument: T) -> R:
        # In the thread, because the run continues when its caller gives up.
        thread = threading.get_ident()
        self._began[thread] = time.monotonic()
        try:
            with self._mark:
                return work(argument)
        finally:
            del self._began[thread]

    def _run(self, arrays: Arrays) -> Run:
        start = time.thread_time()
        outputs = run_checked(self._session, arrays)
        return outputs, (time.thread_time() - start) * 1e3


def _nothing() -> None:
    """Returns at once in a free thread; never starts while all threads hang."""
