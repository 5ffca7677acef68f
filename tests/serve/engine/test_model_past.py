"""What a rollout learns of the requests that keys made before it."""

from contextlib import suppress
from typing import Any

from serve.base.errors import ModelFailed
from serve.base.routing import bucket_of, point_of
from serve.counting.count_delta import BEFORE
from serve.engine.model import ServedModel
from tests.serve.clock import run
from tests.serve.host import Host
from tests.serve.served_model import ask, routes, serving, two
from tests.serve.watched_model import sheet_of, to, watch

KEY = "maria"
BUCKET = bucket_of(point_of("linear", KEY))


def past_of(model: ServedModel, rollout: str = "r1") -> dict[int, tuple[int, int]]:
    """Return the requests and errors by bucket that a new rollout gets in its first delta."""
    model.route(to("base"), watch(rollout))
    delta = model.delta()
    if delta is None:
        return {}
    assert set(delta.counts) == {(BEFORE, True, "base")}
    keys = delta.counts[BEFORE, True, "base"].keys
    return {bucket: (count.requests, count.errors) for bucket, count in keys.items()}


def test_a_rollout_hears_what_keys_did_at_the_baseline_before() -> None:
    """The first delta of a rollout has the counts of keys from before it."""

    async def scenario() -> Any:
        async with serving(two()) as model:
            await ask(model, key=KEY)
            await ask(model, key=KEY)
            return past_of(model)

    assert run(scenario()) == {BUCKET: (2, 0)}


def test_errors_of_the_baseline_are_known() -> None:
    """A new rollout gets the errors that a key had at the baseline."""

    async def scenario() -> Any:
        host = Host()
        host.error = ModelFailed("no")
        async with serving({"base": host}) as model:
            with suppress(ModelFailed):
                await ask(model, key=KEY)
            return past_of(model)

    assert run(scenario()) == {BUCKET: (1, 1)}


def test_what_the_routes_sent_elsewhere_or_nobody_chose_is_no_past() -> None:
    """Requests without a key, pinned ones, and those of other variants are not in the past."""

    async def scenario() -> Any:
        async with serving(two()) as model:
            await ask(model)
            await ask(model, key=KEY, pinned="base")
            model.route(to("light"), None)
            await ask(model, key=KEY)
            return past_of(model)

    assert run(scenario()) == {}


def test_it_is_told_once() -> None:
    """The past is in the first delta only."""

    async def scenario() -> Any:
        async with serving(two()) as model:
            await ask(model, key=KEY)
            past_of(model)
            assert model.counter is not None
            model.counter.acknowledge(sheet_of(model).number)
            return model.delta()

    assert run(scenario()) is None


def test_the_next_rollout_hears_of_it_too() -> None:
    """The next rollout gets the same past."""

    async def scenario() -> Any:
        async with serving(two()) as model:
            await ask(model, key=KEY)
            past_of(model)
            return past_of(model, "r2")

    assert run(scenario()) == {BUCKET: (1, 0)}


def test_another_baseline_has_no_past_yet() -> None:
    """After a change of the baseline, the past is empty."""

    async def scenario() -> Any:
        async with serving(two()) as model:
            await ask(model, key=KEY)
            model.route(routes({"base": 0, "light": 1}).model_copy(update={"baseline": "light"}), None)
            return past_of(model)

    assert run(scenario()) == {}
