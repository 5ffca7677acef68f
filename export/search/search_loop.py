"""Runs a search. Only this module knows the order of the work."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field

from export.search.plan import Incompatible
from export.search.search_request import Search
from export.search.study import Study
from export.search.trial import TrialRequest, TrialResult, describe_steps
from export.search.trial_front import find_best
from export.search.trial_workers import TrialWorkers
from export.step import Steps

# After so many trials in a row that were tried before or go together with nothing, there are hardly new ones.
_MOST_IDLE = 50

Told = Callable[[int, TrialResult], object]
_Waiting = tuple[int, Steps, "Future[TrialResult] | TrialResult"]


@dataclass(frozen=True, kw_only=True)
class SearchEnd:
    """How a search ended."""

    # Why, as a sentence without its full stop.
    reason: str
    results: dict[int, TrialResult] = field(default_factory=dict)
    # Setting -> the share of the differences of the speed-up that it explains, the most first.
    importances: dict[str, float] = field(default_factory=dict)


class SearchLoop:
    """Keeps as many trials running as there are workers, and tells their results in the order of their
    numbers."""

    def __init__(self, search: Search, rungs: tuple[int, ...], study: Study, workers: TrialWorkers) -> None:
        """`rungs` are the numbers of rows of the race."""
        self._search = search
        self._rungs = rungs
        self._study = study
        self._workers = workers
        self._results = study.results()
        self._by_steps = {
            describe_steps(result.steps): result
            for result in self._results.values()
            if result.steps and result.outcome != "repeated"
        }
        self._waiting: deque[_Waiting] = deque()
        self._idle = 0
        self._began_s = time.monotonic() - study.spent_s

    def run(self, told: Told) -> SearchEnd:
        """Run trials until the search is satisfied, out of budget or out of new trials; `told` hears each
        result."""
        for asked in list(self._study.unfinished()):
            self._begin(*asked)
        while (reason := self._find_end()) is None:
            while len(self._waiting) < self._workers.count:
                self._begin(*self._study.ask())
            number, steps, work = self._waiting[0]
            try:
                result = work if isinstance(work, TrialResult) else work.result(self._left_s)
            except Late:
                continue
            self._waiting.popleft()
            told(number, self._tell(number, steps, result))
        self._study.spend(time.monotonic() - self._began_s)
        return SearchEnd(reason=reason, results=self._results, importances=self._study.importances())

    @property
    def _left_s(self) -> float:
        return max(self._search.budget_s - (time.monotonic() - self._began_s), 0.0)

    def _find_end(self) -> str | None:
        enough, best = self._search.satisfied, find_best(self._results)
        if enough is not None and best is not None:
            measured = self._results[best].measured
            if measured is not None and measured.speedup.low >= enough.speedup:
                return (
                    f"trial {best} is {measured.speedup.low:.2f}x as fast, and {enough.speedup:g}x are asked"
                )
        if self._left_s <= 0:
            return f"the budget of {self._search.budget_s:g} s is spent"
        if self._idle >= _MOST_IDLE:
            return f"the last {self._idle} trials failed or were tried before, so the space is searched"
        return None

    def _begin(self, number: int, steps: Steps | Incompatible) -> None:
        self._waiting.append(
            (number, () if isinstance(steps, Incompatible) else steps, self._start(number, steps))
        )

    def _start(self, number: int, steps: Steps | Incompatible) -> "Future[TrialResult] | TrialResult":
        if isinstance(steps, Incompatible):
            return TrialResult(outcome="refused", reason=str(steps))
        if not steps:
            return TrialResult(outcome="refused", reason="no step was chosen, and this is the baseline")
        key = describe_steps(steps)
        if key in self._by_steps:
            return self._by_steps[key]
        for _, other, work in self._waiting:
            if describe_steps(other) == key:
                return work
        best = find_best(self._results)
        measured = None if best is None else self._results[best].measured
        beat = None if measured is None else measured.speedup.low
        rows = self._search.goal.cpu_ms.rows
        return self._workers.submit(
            TrialRequest(number=number, steps=steps, rows=rows, beat=beat, rungs=self._rungs)
        )

    def _tell(self, number: int, steps: Steps, result: TrialResult) -> TrialResult:
        key = describe_steps(steps)
        if steps and key in self._by_steps:
            result = result.model_copy(update={"outcome": "repeated", "wall_s": 0.0, "cpu_s": 0.0})
        elif steps:
            self._by_steps[key] = result
        self._study.tell(number, result)
        self._study.spend(time.monotonic() - self._began_s)
        self._results[number] = result
        self._idle = self._idle + 1 if result.outcome in ("refused", "repeated", "failed") else 0
        return result


def summarize(results: Iterable[TrialResult]) -> str:
    """Return how many trials came to what, such as "12 measured, 3 beaten"."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result.outcome] = counts.get(result.outcome, 0) + 1
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no trial"
