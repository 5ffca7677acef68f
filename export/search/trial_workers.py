"""Runs trials in processes of their own, several at once."""

import queue
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

from export.progress import Say
from export.sandbox.isolation import Sandbox
from export.search.search_analysis import Analysis
from export.search.search_request import Search
from export.search.trial import TrialRequest, TrialResult
from serve.base.errors import CounterweightError

# A process that was killed so often by the same trial is killed by it, such as for want of memory.
_MOST_TRIES = 3


class TrialWorkers(Protocol):
    """Something that runs trials."""

    # How many run at once.
    count: int

    def submit(self, request: TrialRequest) -> "Future[TrialResult]":
        """Begin a trial. A fault of the trial's own is its result."""

    def stop(self) -> None:
        """End all trials at once."""


class LocalWorkers:
    """Processes on this machine, each of which reads the model and the data once."""

    def __init__(self, count: int, recipe: Path, out: Path, time_limit_s: float, say: Say) -> None:
        """Start `count` processes as they are needed.

        `time_limit_s` is for each call of the user's code; `say` hears what is being done."""
        self.count = count
        self._say = say
        self._place = {"recipe": str(recipe), "out": str(out)}
        self._time_limit_s = time_limit_s
        self._threads = ThreadPoolExecutor(count)
        self._idle: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
        self._started: list[Sandbox] = []
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, request: TrialRequest) -> "Future[TrialResult]":
        """Begin a trial. A fault of the trial's own is its result."""
        return self._threads.submit(self._run, request)

    def analyse(self, search: Search) -> Analysis:
        """Return what can make the model lighter. Raises CounterweightError."""
        sandbox = self._take()
        asked = {**self._place, "search": search.model_dump(mode="json", exclude_unset=True)}
        answer = sandbox.ask("analyse", asked, self._say)
        self._idle.put(sandbox)
        return Analysis.model_validate(answer)

    def stop(self) -> None:
        """End all trials and processes at once."""
        self._stopped = True
        for sandbox in self._started:
            sandbox.kill()
        self._threads.shutdown(cancel_futures=True)
        for sandbox in self._started:
            sandbox.close()

    def _run(self, request: TrialRequest) -> TrialResult:
        asked = {**self._place, "trial": request.model_dump(mode="json", exclude_unset=True)}
        for tries in range(1, _MOST_TRIES + 1):
            sandbox = self._take()
            try:
                answer = sandbox.ask("trial", asked, self._say)
            except CounterweightError as error:
                killed = sandbox.killed
                # A process that has failed is not used again.
                sandbox.kill()
                if killed and tries < _MOST_TRIES and not self._stopped:
                    continue
                return TrialResult(outcome="failed", steps=request.steps, reason=str(error))
            self._idle.put(sandbox)
            return TrialResult.model_validate(answer)
        raise AssertionError("the last try returns")

    def _take(self) -> Sandbox:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            sandbox = Sandbox(self._time_limit_s)
            self._started.append(sandbox)
            if self._stopped:
                sandbox.kill()
            return sandbox
