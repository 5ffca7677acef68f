"""What a rollout counts of a model's requests."""

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest

from serve.base.errors import ModelFailed
from serve.counting.count_delta import Count, VariantRun
from tests.serve import clock
from tests.serve.clock import run, settle
from tests.serve.host import Host
from tests.serve.served_model import ask, replace, request_of, serving, two
from tests.serve.watched_model import LIGHT, counts_of, sheet_of, to, watch, watched


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the virtual clock of the loop for milliseconds."""
    ours = SimpleNamespace(perf_counter=clock.now)
    monkeypatch.setattr("serve.engine.model.time", ours)
    monkeypatch.setattr("serve.engine.admission.time", ours)


@pytest.mark.parametrize("variant", ["base", "light"])
def test_a_request_counts_for_the_variant_that_was_chosen(variant: str) -> None:
    """A request counts for the chosen variant, under the revision of the routes that chose it."""

    async def scenario() -> Any:
        async with serving(two()) as model:
            model.route(to(variant), watch())
            await ask(model)
            return counts_of(model)

    assert run(scenario()) == {(3, False, variant): (1, 0)}


def test_without_a_rollout_nothing_is_counted() -> None:
    """Without a rollout nothing is counted."""

    async def scenario() -> Any:
        async with serving(two()) as model:
            model.route(to("light"), None)
            await ask(model)
            return model.delta()

    assert run(scenario()) is None


def test_a_key_is_counted_apart() -> None:
    """A request with a key is counted apart from those without."""

    async def scenario() -> Any:
        async with watched() as model:
            await ask(model, key="maria")
            await ask(model)
            return counts_of(model)

    assert run(scenario()) == {(3, True, "light"): (1, 0), LIGHT: (1, 0)}


def test_a_pinned_request_is_not_counted() -> None:
    """A pinned request is not counted, because the routes did not choose its variant."""

    async def scenario() -> Any:
        async with watched("base") as model:
            await ask(model, pinned="light")
            return counts_of(model)

    assert run(scenario()) == {}


@pytest.mark.parametrize(("limit_ms", "over"), [(1999.9, 1), (2000.0, 0), (None, 0)], ids=str)
def test_over_the_limit_is_exact(limit_ms: float | None, over: int) -> None:
    """A latency equal to the limit is not over it, and nothing is over an unknown limit."""

    async def scenario() -> int:
        async with serving({"base": Host(), "light": Host(run_s=2)}) as model:
            model.route(to("light"), watch(limit_ms=limit_ms))
            await ask(model)
            return sheet_of(model).counts[LIGHT].over_limit

    assert run(scenario()) == over


def test_a_rescue_takes_as_long_as_the_user_waited() -> None:
    """A rescue's latency has both parts: 2 s at the candidate plus 1 s at the baseline exceed 2.5 s."""

    async def scenario() -> Count:
        hosts = {"base": Host(run_s=1), "light": Host(run_s=2)}
        hosts["light"].error = ModelFailed("no idea")
        async with serving(hosts) as model:
            model.route(to("light"), watch(limit_ms=2500))
            await ask(model)
            return sheet_of(model).counts[LIGHT]

    assert run(scenario()) == Count(requests=1, errors=1, over_limit=1)


def test_an_answer_that_comes_after_the_routes_changed_counts_under_the_old_ones() -> None:
    """A request counts under the routes that chose its variant, even if they changed before the answer."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].leave.clear()
        async with watched(hosts=hosts) as model:
            asked = asyncio.create_task(ask(model))
            await settle()
            model.route(to("base", 4), watch())
            await ask(model)
            hosts["light"].leave.set()
            await asked
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (1, 0), (4, False, "base"): (1, 0)}


def test_an_answer_that_comes_in_the_next_rollout_is_not_its() -> None:
    """A request that was admitted in one rollout does not count in the next one."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].leave.clear()
        async with serving(hosts) as model:
            model.route(to("light", 3), watch("r1"))
            asked = asyncio.create_task(ask(model))
            await settle()
            model.route(to("base", 4), watch("r2"))
            hosts["light"].leave.set()
            await asked
            return counts_of(model)

    assert run(scenario()) == {}


def test_a_limit_that_becomes_known_changes_nothing_that_was_counted() -> None:
    """Counts stay when the latency limit becomes known."""

    async def scenario() -> Any:
        async with watched() as model:
            await ask(model)
            model.route(to("light"), watch(limit_ms=5))
            await ask(model)
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (2, 0)}


def test_a_new_version_changes_nothing_that_was_counted() -> None:
    """Counts stay when a new catalog unloads the candidate."""

    async def scenario() -> Any:
        async with watched() as model:
            await ask(model)
            await replace(model, {"base": 1})
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (1, 0)}


@pytest.mark.parametrize("feedback", [False, True])
def test_ids_are_told_only_for_feedback(feedback: bool) -> None:
    """With feedback, the delta has the ids of requests that the chosen variant answered itself."""

    async def scenario() -> Any:
        hosts = two()
        async with serving(hosts) as model:
            model.route(to("light"), watch(feedback=feedback))
            await ask(model, request_id="a")
            hosts["light"].error = ModelFailed("no idea")
            await ask(model, request_id="b")
            return sheet_of(model).answered

    assert run(scenario()) == ((("a", LIGHT),) if feedback else ())


@pytest.mark.parametrize("feedback", [False, True])
def test_the_class_of_an_answer_is_told_only_for_feedback(feedback: bool) -> None:
    """With feedback, the delta has the top class of answers with one row."""

    async def scenario() -> Any:
        async with serving(two()) as model:
            model.route(to("light"), watch(feedback=feedback))
            await ask(model, request_of(0), request_id="a")
            await ask(model, request_of(0, count=2), request_id="b")
            return sheet_of(model).tops

    assert run(scenario()) == ({"a": 0} if feedback else {})


def test_runs_cost_what_they_cost_since_the_sheet_before() -> None:
    """A delta has the rows and the CPU time of the runs since the last delta, by size of run."""

    async def scenario() -> Any:
        async with watched() as model:
            await ask(model)
            assert model.counter is not None
            model.counter.acknowledge(sheet_of(model).number)
            await ask(model, request_of(count=3))
            return sheet_of(model).runs

    assert run(scenario()) == {
        "light": VariantRun(
            revision=3, rows=3, cpu_ms=6.0, sizes={3: (1, 6.0, math.log(6), math.log(6) ** 2)}
        )
    }
