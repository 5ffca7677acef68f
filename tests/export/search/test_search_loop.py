"""The loop of a search, with workers whose results are known."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from export.search import search_loop
from export.search.search_loop import SearchEnd, SearchLoop
from export.search.search_request import Search
from export.search.study import Study
from export.search.trial import TrialRequest, TrialResult
from export.search.trial_front import find_best
from tests.export.search.test_study import PLANS, rate


class KnownWorkers:
    """Workers with a function as their trials."""

    def __init__(self, count: int, run: Callable[[TrialRequest], TrialResult]) -> None:
        self.count = count
        self.asked: list[TrialRequest] = []
        self._run = run
        self._threads = ThreadPoolExecutor(count)

    def submit(self, request: TrialRequest) -> "Future[TrialResult]":
        """Run the function in a thread."""
        self.asked.append(request)
        return self._threads.submit(self._run, request)

    def stop(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown()


@pytest.fixture(autouse=True)
def _soon_exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    """End a search after few trials that are nothing new."""
    monkeypatch.setattr(search_loop, "_MOST_IDLE", 8)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    with closing(Study(tmp_path / "studies.db", "s", PLANS, "random", 3)) as study:
        yield study


def run(study: Study, workers: KnownWorkers, **settings: Any) -> SearchEnd:
    try:
        return SearchLoop(Search.model_validate(settings), (50, 100), study, workers).run(lambda *_: None)
    finally:
        workers.stop()


def known(request: TrialRequest) -> TrialResult:
    """The result of a trial, without the time of a measurement."""
    return rate(request.steps)


def test_a_search_ends_when_it_is_satisfied(study: Study) -> None:
    """The first trial within the floor that is fast enough ends the search."""
    end = run(study, KnownWorkers(1, known), satisfied={"speedup": 1.9})
    best = find_best(end.results)
    assert best == max(end.results)
    assert "1.9x are asked" in end.reason


def test_a_search_ends_with_its_budget(study: Study) -> None:
    """When the budget is spent, trials that are running do not delay the end."""
    gate = threading.Event()

    def slow(request: TrialRequest) -> TrialResult:
        gate.wait(60)
        return known(request)

    workers = KnownWorkers(1, slow)
    loop = SearchLoop(Search(budget_s=0.2), (100,), study, workers)
    end = loop.run(lambda *_: None)
    gate.set()
    workers.stop()
    assert (end.results, end.reason) == ({}, "the budget of 0.2 s is spent")


def test_a_search_ends_when_everything_was_tried(tmp_path: Path) -> None:
    """A space of 20 combinations is tried once, and no trial runs twice."""
    workers = KnownWorkers(3, known)
    with closing(Study(tmp_path / "studies.db", "s", PLANS, "grid", 3)) as study:
        end = run(study, workers)
    assert len({request.steps[0].model_dump_json() for request in workers.asked}) == len(workers.asked) == 20
    assert "tried before" in end.reason


def test_trials_are_told_in_their_order_whatever_ends_first(tmp_path: Path) -> None:
    """With three workers, the results do not depend on how long each trial takes."""

    def of(name: str, delay_s: Callable[[int], float]) -> dict[int, TrialResult]:
        def late(request: TrialRequest) -> TrialResult:
            time.sleep(delay_s(request.number))
            return known(request)

        with closing(Study(tmp_path / "studies.db", name, PLANS, "tpe", 3)) as study:
            return run(study, KnownWorkers(3, late), satisfied={"speedup": 1.9}).results

    assert of("one", lambda number: 0.02 * (number % 3)) == of(
        "other", lambda number: 0.02 * (2 - number % 3)
    )


def test_a_killed_search_goes_on(tmp_path: Path) -> None:
    """A search that was killed in its second trial ends with the same trials as one that was not."""

    def dies(request: TrialRequest) -> TrialResult:
        if request.number >= 1:
            raise KeyboardInterrupt
        return known(request)

    def search(name: str, trial: Callable[[TrialRequest], TrialResult]) -> SearchEnd:
        with closing(Study(tmp_path / "studies.db", name, PLANS, "tpe", 3)) as study:
            return run(study, KnownWorkers(1, trial), satisfied={"speedup": 1.98})

    with pytest.raises(KeyboardInterrupt):
        search("killed", dies)
    assert search("killed", known).results == search("whole", known).results


def test_trials_hear_what_they_must_beat(study: Study) -> None:
    """Each request holds the speed-up of the best trial told before it."""
    workers = KnownWorkers(1, known)
    end = run(study, workers, satisfied={"speedup": 1.9})
    last = workers.asked[-1]
    best = find_best({number: result for number, result in end.results.items() if number < last.number})
    before = None if best is None else end.results[best].measured
    assert last.beat == (None if before is None else before.speedup.low)


def test_a_search_of_failing_trials_ends(study: Study) -> None:
    """Trials that all fail end the search, with the reason of each."""
    end = run(study, KnownWorkers(1, lambda request: TrialResult(outcome="failed", reason="no memory")))
    assert {result.reason for result in end.results.values()} == {"no memory"}
    assert find_best(end.results) is None
