"""A gateway stops sending requests to a candidate that fails totally, without waiting for the judge."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from serve.base.errors import DeadlineExceeded, InvalidRequest, ModelFailed
from serve.base.routing import bucket_of, point_of
from serve.counting.breaker import RUN
from serve.engine.admission import Answer
from serve.engine.model import ServedModel
from tests.serve import clock
from tests.serve.clock import run, settle
from tests.serve.host import Host
from tests.serve.served_model import Hosts, ask, request_of, routes, serving, two
from tests.serve.watched_model import BASE, LIGHT, counts_of, to, watch, watched


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the virtual clock of the loop for milliseconds."""
    ours = SimpleNamespace(perf_counter=clock.now)
    monkeypatch.setattr("serve.engine.model.time", ours)
    monkeypatch.setattr("serve.engine.admission.time", ours)


def broken() -> Hosts:
    """The baseline, and a candidate that answers nothing."""
    hosts = two()
    hosts["light"].error = ModelFailed("no idea")
    return hosts


async def ask_often(model: ServedModel, times: int = 30, **asked: Any) -> Counter[str]:
    """Return how many of `times` consecutive requests each variant answered."""
    return Counter([(await ask(model, **asked)).variant for _ in range(times)])


def test_total_failure_gives_everything_to_the_baseline() -> None:
    """After a run of failures, all rescued, the candidate gets no requests and a trip is reported."""

    async def scenario() -> Any:
        hosts = broken()
        async with watched(hosts=hosts) as model:
            answered = await ask_often(model)
            trip = model.protect()
            assert trip is not None
            return answered, len(hosts["light"].sizes), model.routes.share("light"), trip.rollout

    assert run(scenario()) == ({"base": 30}, RUN, 0.0, "r1")


def test_what_the_baseline_gets_instead_counts_for_nobody() -> None:
    """Requests that the baseline gets after the trip are not counted."""

    async def scenario() -> Any:
        async with watched(hosts=broken()) as model:
            await ask_often(model)
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (RUN, RUN)}


def test_at_any_share() -> None:
    """A candidate with half of the traffic is stopped after a run of failures."""

    async def scenario() -> Any:
        hosts = broken()
        async with serving(hosts) as model:
            model.route(routes({"base": 1, "light": 1}, revision=3), watch())
            answered = await ask_often(model, 400)
            return answered, len(hosts["light"].sizes), counts_of(model)[LIGHT]

    assert run(scenario()) == ({"base": 400}, RUN, (RUN, RUN))


def test_who_asks_for_the_candidate_still_meets_it() -> None:
    """A request that is pinned to a stopped candidate reaches it."""

    async def scenario() -> None:
        async with watched(hosts=broken()) as model:
            await ask_often(model)
            with pytest.raises(ModelFailed):
                await ask(model, pinned="light")

    run(scenario())


def test_nan_is_total_failure_too() -> None:
    """A run of NaN outputs also stops the traffic to the candidate."""

    async def scenario() -> int:
        hosts = two()
        hosts["light"].spoilt = 7.0
        async with watched(hosts=hosts) as model:
            await ask_often(model, request=request_of(7.0))
            return len(hosts["light"].sizes)

    assert run(scenario()) == RUN


@pytest.mark.parametrize(("keys", "met"), [(2, 30), (3, RUN)])
def test_one_or_two_users_open_nothing(keys: int, met: int) -> None:
    """Failures of one or two keys do not stop the candidate, and those of three do."""
    names = {bucket_of(point_of("linear", name)): name for name in map(str, range(10))}

    async def scenario() -> int:
        hosts = broken()
        async with watched(hosts=hosts) as model:
            for number in range(30):
                await ask(model, key=list(names.values())[number % keys])
            return len(hosts["light"].sizes)

    assert run(scenario()) == met


def test_what_fails_on_the_baseline_too_is_not_the_candidates() -> None:
    """An input that fails on both variants does not open the breaker."""

    async def scenario() -> Any:
        async with watched() as model:
            for _ in range(30):
                with pytest.raises(ModelFailed):
                    await ask(model, request_of(float("inf")))
            return model.protect()

    assert run(scenario()) is None


@pytest.mark.parametrize("outcome", ["refused", "full"])
def test_what_is_no_failure_of_the_candidate_opens_nothing(outcome: str) -> None:
    """Invalid requests and a full queue do not open the breaker."""

    async def scenario() -> Any:
        hosts = two()
        if outcome == "full":
            hosts["light"].leave.clear()
        async with watched(hosts=hosts, max_queue_rows=1, max_batch_rows=1) as model:
            if outcome == "full":
                asked = [asyncio.create_task(ask(model)) for _ in range(2)]
                await settle()
                await ask_often(model)
                hosts["light"].leave.set()
                await asyncio.gather(*asked)
            else:
                hosts["light"].error = InvalidRequest("no UTF-8")
                for _ in range(30):
                    with pytest.raises(InvalidRequest):
                        await ask(model)
            return model.protect()

    assert run(scenario()) is None


def test_deadlines_that_pass_are_failures() -> None:
    """Requests that exceed their deadline open the breaker."""

    async def scenario() -> int:
        hosts = {"base": Host(), "light": Host(run_s=5)}
        async with watched(hosts=hosts) as model:
            for _ in range(RUN):
                with pytest.raises(DeadlineExceeded):
                    await ask(model, header_s=2)
            return (await ask_often(model))["base"]

    assert run(scenario()) == 30


@pytest.mark.parametrize(
    ("limit_ms", "p99_limit_ms", "waited_s", "opens"),
    [
        (None, None, 0.9, False),
        (None, None, 1.1, True),
        # The breaker waits five times the limit, which hardly any request exceeds.
        (100.0, None, 0.9, True),
        (None, 100.0, 0.9, True),
        (100.0, None, 0.4, False),
        # A pause of the process may be longer than five times the limit of a fast model.
        (10.0, None, 0.2, False),
        (10.0, None, 0.3, True),
        (2000.0, None, 1.5, False),
        (2000.0, None, 2.1, True),
    ],
)
def test_clients_that_wait_in_vain_show_that_it_hangs(
    limit_ms: float | None, p99_limit_ms: float | None, waited_s: float, opens: bool
) -> None:
    """Clients that leave after the limit open the breaker; those that leave before it do not."""

    async def scenario() -> bool:
        hosts = two()
        hosts["light"].leave.clear()
        async with watched(hosts=hosts, max_queue_rows=100) as model:
            known = watch(limit_ms=limit_ms).model_copy(
                update={"quantile_limits_ms": (None, None, p99_limit_ms)}
            )
            model.route(to("light"), known)
            asked = [asyncio.create_task(ask(model)) for _ in range(RUN)]
            await asyncio.sleep(waited_s)
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)
            opened = model.protect() is not None
            hosts["light"].leave.set()
            return opened

    assert run(scenario()) == opens


def test_without_a_baseline_to_take_over_nothing_opens() -> None:
    """The breaker stays closed while the baseline is down, and opens when it is back."""

    async def scenario() -> Any:
        hosts = broken()
        async with watched(hosts=hosts) as model:
            await ask_often(model, RUN)
            hosts["base"].vanish()
            await asyncio.sleep(1)
            before = model.protect()
            hosts["base"].come_back()
            await asyncio.sleep(1)
            return before, model.protect() is not None

    assert run(scenario()) == (None, True)


def test_newer_routes_of_the_same_rollout_change_nothing() -> None:
    """Newer routes of the same rollout do not give the candidate traffic again."""

    async def scenario() -> Any:
        async with watched(hosts=broken()) as model:
            await ask_often(model)
            model.route(to("light", 4), watch())
            assert (await ask(model)).parameters == {}
            return model.routes.revision, model.routes.share("light")

    assert run(scenario()) == (4, 0.0)


def test_the_end_of_the_rollout_and_the_next_one_begin_anew() -> None:
    """After the rollout's end the next one sends requests to the candidate again."""

    async def scenario() -> Any:
        hosts = broken()
        async with watched(hosts=hosts) as model:
            await ask_often(model)
            model.route(to("base", 4), None)
            told = model.protect()
            hosts["light"].error = None
            model.route(to("light", 5), watch("r2"))
            return told, (await ask(model)).variant

    assert run(scenario()) == (None, "light")


def test_a_baseline_that_fails_as_often_keeps_it_closed() -> None:
    """The breaker stays closed if the baseline's own requests failed as often."""

    def encode(answer: Answer) -> Answer:
        raise ModelFailed("no idea")

    async def scenario() -> Any:
        hosts = {"base": Host(), "light": Host(run_s=5)}
        async with serving(hosts) as model:
            for variant, revision in (("base", 3), ("light", 4)):
                model.route(to(variant, revision), watch())
                for _ in range(RUN):
                    with pytest.raises((ModelFailed, DeadlineExceeded)):
                        await ask(model, header_s=2, encode=encode)
            return counts_of(model)[BASE], model.protect()

    assert run(scenario()) == ((RUN, RUN), None)


def test_a_baseline_that_is_well_again_is_a_better_place() -> None:
    """After earlier failures of the baseline, successful rescues let the breaker open."""

    async def scenario() -> Any:
        hosts = two()
        async with serving(hosts) as model:
            hosts["base"].error = ModelFailed("no idea")
            model.route(to("base", 3), watch())
            for _ in range(RUN):
                with pytest.raises(ModelFailed):
                    await ask(model)
            hosts["base"].error, hosts["light"].error = None, ModelFailed("no idea")
            model.route(to("light", 4), watch())
            return await ask_often(model), len(hosts["light"].sizes), model.protect() is not None

    assert run(scenario()) == ({"base": 30}, RUN, True)
