"""A faulty shadow does not affect requests, and each of its copies is compared or counted as dropped."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from serve.base.errors import ModelFailed
from serve.counting.shadow_results import ShadowResults
from serve.engine.model import ServedModel
from serve.rollout.evidence.evidence import Comparison
from tests.conftest import FEATURES
from tests.serve.clock import now, run, settle
from tests.serve.host import Host
from tests.serve.served_model import ask, request_of, routes, serving
from tests.serve.shadows import FAULTS, LATER_S, WATCH, Odd, compared, copies_of, faulty, shadowed


async def answers(model: ServedModel) -> list[tuple[float, str, Any, dict[str, Any]]]:
    """Forty requests, four a second: when each was answered, by whom, and what."""

    async def one(number: int) -> tuple[float, str, Any, dict[str, Any]]:
        await asyncio.sleep(number / 4)
        answer = await ask(model, request_of(number))
        return now(), answer.variant, answer.ran.outputs["y"].tolist(), answer.parameters

    return await asyncio.gather(*(one(number) for number in range(40)))


@pytest.mark.parametrize("fault", FAULTS)
def test_no_request_feels_a_shadow(fault: str) -> None:
    """Answers, counts and times on a virtual clock are the same with a faulty shadow and without one."""

    async def scenario(light: Host, shadows: Mapping[str, float]) -> Any:
        hosts = {"base": Host(run_s=0.2), "light": light}
        async with serving(hosts, run_timeout_s=3.0, max_shadow_rows=8) as model:
            model.route(routes({"base": 1}, shadows), WATCH)
            seen = await answers(model)
            light.leave.set()
            base = model.tallies["base"]
            return seen, base.requests, base.errors, base.rescues, base.sheds

    assert run(scenario(faulty(fault), {"light": 1.0})) == run(scenario(Host(), {}))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_copy_is_compared_or_dropped(fault: str) -> None:
    """Each of 40 copies is compared or counted as dropped, whatever fault the shadow has."""

    async def scenario(light: Host) -> ShadowResults:
        hosts = {"base": Host(), "light": light}
        async with shadowed(hosts, run_timeout_s=3.0, max_shadow_rows=8) as model:
            await answers(model)
            await asyncio.sleep(LATER_S)
            light.leave.set()
            return copies_of(model)

    copies = run(scenario(faulty(fault)))
    assert copies.pairs.pairs + copies.dropped == 40


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.startswith(("fails", "refuses", "answers"))]
)
def test_a_pair_that_fails_is_a_disagreement(fault: str) -> None:
    """A failed copy counts as a disagreement for each of its rows."""

    async def scenario() -> Comparison:
        async with shadowed({"base": Host(), "light": faulty(fault)}) as model:
            await ask(model, request_of(count=2))
            await asyncio.sleep(LATER_S)
            return copies_of(model).pairs

    pairs = run(scenario())
    assert (pairs.pairs, pairs.disagreements) == (2, 2)


def test_the_words_of_a_failure_are_kept() -> None:
    """A failed pair is recorded with the message of the shadow's error."""

    async def scenario() -> Any:
        async with shadowed({"base": Host(), "light": faulty("fails")}) as model:
            await ask(model)
            await asyncio.sleep(LATER_S)
            assert model.counter is not None
            return list(model.counter.disagreements)

    [shown] = run(scenario())
    assert (shown.output, shown.baseline, shown.candidate) == ("y", "answered", "ModelFailed: no idea")


def test_one_input_that_fails_is_not_held_against_its_neighbours() -> None:
    """After a run of copies fails, each copy is run alone, so only the one with the bad input fails."""

    def fail_on_five(y: Any) -> Any:
        if (y == 5 * FEATURES).any():
            raise ModelFailed("no fives")
        return y

    pairs = compared(Odd(fail_on_five), 8).pairs
    assert (pairs.pairs, pairs.disagreements, pairs.failures) == (8, 1, 1)


def test_a_shadow_that_cannot_follow_drops_what_does_not_fit() -> None:
    """If a shadow hangs, copies beyond its limit are counted as dropped."""

    async def scenario() -> tuple[int, int]:
        light = faulty("hangs")
        async with shadowed({"base": Host(), "light": light}, max_shadow_rows=8) as model:
            for _ in range(8):
                await ask(model)
            await asyncio.sleep(1)
            for _ in range(12):
                await ask(model)
            await asyncio.sleep(1)
            light.leave.set()
            await asyncio.sleep(LATER_S)
            copies = copies_of(model)
            return copies.pairs.pairs, copies.dropped

    assert run(scenario()) == (16, 4)


def test_a_shadow_stands_back_while_requests_wait() -> None:
    """Copies are dropped while requests wait at the baseline: 17 of 40 here."""

    async def scenario() -> tuple[int, int]:
        hosts = {"base": Host(), "light": Host()}
        hosts["base"].leave.clear()
        async with shadowed(hosts) as model:
            asked = [asyncio.create_task(ask(model)) for _ in range(40)]
            await settle()
            hosts["base"].leave.set()
            await asyncio.gather(*asked)
            await asyncio.sleep(LATER_S)
            copies = copies_of(model)
            return copies.pairs.pairs + copies.dropped, copies.dropped

    offered, dropped = run(scenario())
    # The first copy has a run of its own; then 39, 31 and 23 waiting copies are more than the 16 allowed.
    assert (offered, dropped) == (40, 17)


def test_a_shadow_that_comes_back_goes_on() -> None:
    """Copies are dropped while the shadow is down, and compared again when it is back."""

    async def scenario() -> tuple[int, int]:
        light = Host()
        async with shadowed({"base": Host(), "light": light}) as model:
            light.vanish()
            await asyncio.sleep(1)
            await ask(model)
            await asyncio.sleep(1)
            light.come_back()
            await asyncio.sleep(1)
            await ask(model)
            await asyncio.sleep(LATER_S)
            copies = copies_of(model)
            return copies.pairs.pairs, copies.dropped

    assert run(scenario()) == (1, 1)
