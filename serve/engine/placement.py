"""Placement: where a variant runs. One seam for both: arrays in, arrays out."""

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
from serve.engine.refusals import run_checked
from serve.engine.session import Session

# The outputs of a run, and the milliseconds of CPU time of the thread that ran it.
Run = tuple[dict[str, NDArray[np.generic]], float]
_NO_MARK = nullcontext()
T = TypeVar("T")
R = TypeVar("R")


class Placement(Protocol):
    """The host of one variant, wherever it is."""

    # How many runs it can work on at once.
    runs: int

    async def run(self, arrays: Arrays) -> Run:
        """The model's outputs. Raises RefusedInput, ModelFailed or VariantUnavailable."""
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
    """A session in this process, on threads of its own, one for each of its runs, so that the event loop
    stays free."""

    def __init__(
        self, session: Session, runs: int = 1, mark: AbstractContextManager[None] = _NO_MARK
    ) -> None:
        """`mark` is held during each run."""
        self.runs = runs
        self._mark = mark
        self._session = session
        self._threads = ThreadPoolExecutor(runs, thread_name_prefix=f"onnx-{session.name}")
        self._closed = False
        # Thread -> when the run that it is at began, on the clock of time.monotonic.
        self._began: dict[int, float] = {}

    @property
    def since(self) -> float | None:
        """When the oldest run under way began, on the clock of time.monotonic; None: there is none."""
        return min(self._began.copy().values(), default=None)

    async def run(self, arrays: Arrays) -> Run:
        """The model's outputs. Raises RefusedInput or ModelFailed."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._work, self._run, arrays)

    async def ready(self) -> bool:
        """Whether a thread is free to take a run."""
        await asyncio.get_running_loop().run_in_executor(self._threads, _nothing)
        return True

    async def lost(self) -> None:
        """Never: what ends this process ends who would wait."""
        await asyncio.Event().wait()

    def warm(self) -> None:
        """Run, one by one between the runs of requests, the shapes that its model's runs have had elsewhere;
        nobody waits for it."""
        for shape in () if self._closed else self._session.take_cold():
            self._threads.submit(self._work, self._session.warm, shape)

    def close(self) -> None:
        """Let the threads end, and with them the session go."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _work(self, work: Callable[[T], R], argument: T) -> R:
        # In the thread: who waits may give up, and the run goes on.
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
    """What a free thread does at once, and one that hangs never."""
