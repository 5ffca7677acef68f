"""When the baseline answers for a failing variant."""

import asyncio

import numpy as np
import pytest

from serve.base.errors import InvalidRequest, ModelFailed, Overloaded, VariantUnavailable
from serve.base.settings import Settings
from serve.counting.tally import Tally
from serve.engine.admission import Answer
from tests.serve.clock import now, run, settle
from tests.serve.host import Host
from tests.serve.served_model import ask, make_served, replace, request_of, scale_of, serving, two


@pytest.mark.parametrize("error", [ModelFailed("no idea"), VariantUnavailable("gone")], ids=repr)
def test_the_baseline_rescues_a_request_from_a_failing_variant(error: Exception) -> None:
    """The baseline answers for a failing variant, marked; the failure and the rescue are counted."""

    async def scenario() -> tuple[Answer, Tally, Tally]:
        hosts = two()
        hosts["light"].error = error
        async with serving(hosts, {"light": 1}) as model:
            return await ask(model), model.tallies["light"], model.tallies["base"]

    answer, light, base = run(scenario())
    assert (answer.variant, scale_of(answer)) == ("base", 1.0)
    assert answer.parameters == {"rescued_from": "light"}
    assert (light.requests, dict(light.failures), light.rescues) == (1, {type(error).__name__: 1}, 1)
    assert (base.requests, base.errors, base.rescues) == (1, 0, 0)


def test_an_input_that_no_variant_can_take_is_rescued_by_nobody() -> None:
    """An input that fails on both variants counts an error for each, and no rescue."""

    async def scenario() -> tuple[Tally, Tally]:
        async with serving(two(), {"light": 1}) as model:
            with pytest.raises(ModelFailed):
                await ask(model, request_of(np.inf))
            return model.tallies["light"], model.tallies["base"]

    light, base = run(scenario())
    assert (light.errors, base.errors, light.rescues) == (1, 1, 0)


def test_a_bad_request_is_not_tried_twice() -> None:
    """An invalid request is not tried on another variant."""

    async def scenario() -> tuple[int, int]:
        hosts = two()
        hosts["light"].error = InvalidRequest("no UTF-8")
        async with serving(hosts, {"light": 1}) as model:
            with pytest.raises(InvalidRequest):
                await ask(model)
            return len(hosts["light"].sizes), len(hosts["base"].sizes)

    assert run(scenario()) == (1, 0)


def test_nobody_else_answers_for_a_pinned_variant_that_fails() -> None:
    """A pinned request to a failing variant fails."""

    async def scenario() -> None:
        hosts = two()
        hosts["light"].error = ModelFailed("no idea")
        async with serving(hosts) as model:
            with pytest.raises(ModelFailed):
                await ask(model, pinned="light")

    run(scenario())


@pytest.mark.parametrize(("variant", "pinned"), [("light", "light"), ("base", None)], ids=["pinned", "base"])
def test_who_has_nobody_else_waits_until_it_is_back(variant: str, pinned: str | None) -> None:
    """A request to a variant that is down waits, is answered by it with `retried`, and counts a failure."""

    async def scenario() -> tuple[Answer, float, Tally]:
        hosts = two()
        async with serving(hosts) as model:
            hosts[variant].vanish()
            await asyncio.sleep(1)
            asked = asyncio.create_task(ask(model, pinned=pinned))
            await asyncio.sleep(4)
            hosts[variant].come_back()
            return await asked, now(), model.tallies[variant]

    answer, at_s, tally = run(scenario())
    assert (answer.variant, answer.parameters) == (variant, {"retried": True})
    # It was down from second 1 to second 5, and the probes are a quarter of a second apart.
    assert 5 <= at_s <= 5.25
    assert (tally.requests, tally.errors, tally.rescues) == (2, 1, 1)


def test_who_waits_in_vain_hears_what_was_wrong() -> None:
    """A request that waits for a lost variant gets the cause as its error, at its deadline."""

    async def scenario() -> float:
        hosts = two()
        async with serving(hosts) as model:
            hosts["base"].vanish()
            await asyncio.sleep(1)
            with pytest.raises(VariantUnavailable, match="does not answer"):
                await ask(model, header_s=3)
            return now()

    assert run(scenario()) == 4.0


def test_who_waits_for_a_lost_variant_is_answered_by_its_next_version() -> None:
    """A request that waits for a lost variant is answered by that variant's next version."""

    async def scenario() -> tuple[str, float, float]:
        hosts = two()
        async with serving(hosts) as model:
            hosts["light"].vanish()
            await asyncio.sleep(1)
            asked = asyncio.create_task(ask(model, pinned="light"))
            await settle()
            await replace(model, {"base": 1}, light=make_served("light", Host(scale=5), Settings()))
            answer = await asked
            return answer.variant, scale_of(answer), now()

    assert run(scenario()) == ("light", 5.0, 1.0)


def test_no_more_are_held_than_would_be_queued() -> None:
    """At most `max_queue_rows` requests wait for a variant that is down; the next is a shed."""

    async def scenario() -> int:
        hosts = two()
        async with serving(hosts, max_queue_rows=3) as model:
            hosts["base"].vanish()
            await asyncio.sleep(1)
            held = [asyncio.create_task(ask(model)) for _ in range(3)]
            await settle()
            with pytest.raises(Overloaded, match="3 requests wait for it"):
                model.admit(pinned=None, key=None, timeout_s=None)
            hosts["base"].come_back()
            await asyncio.gather(*held)
            return model.tallies["base"].sheds

    assert run(scenario()) == 1
