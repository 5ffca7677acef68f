"""Which errors of a request count during a rollout, and for which variant."""

import asyncio
from typing import Any

import numpy as np
import pytest

from serve.base.errors import DeadlineExceeded, InvalidRequest, ModelFailed, Overloaded, RefusedInput
from serve.engine.queue import Ran
from serve.engine.variant import ServedVariant
from tests.serve.clock import run, settle
from tests.serve.host import Host
from tests.serve.served_model import ask, request_of, two
from tests.serve.watched_model import BASE, LIGHT, counts_of, watched


def test_a_rescue_is_the_candidates_error() -> None:
    """A rescued request counts as an error of the candidate."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].error = ModelFailed("no idea")
        async with watched(hosts=hosts) as model:
            assert (await ask(model)).variant == "base"
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (1, 1)}


def test_a_candidate_that_is_not_served_fails() -> None:
    """A candidate that this gateway could not load counts an error, and the baseline answers."""

    async def scenario() -> Any:
        async with watched(hosts={"base": Host()}) as model:
            assert (await ask(model)).variant == "base"
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (1, 1)}


def test_a_failure_of_both_is_one_error_of_the_one_that_was_chosen() -> None:
    """A request that fails on both variants counts one error, of the chosen variant."""

    async def scenario() -> Any:
        async with watched() as model:
            with pytest.raises(ModelFailed):
                await ask(model, request_of(np.inf))
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (1, 1)}


def test_a_second_try_is_an_error() -> None:
    """A request that was tried again counts as an error."""

    async def scenario() -> Any:
        hosts = two()
        async with watched("base", hosts) as model:
            hosts["base"].vanish()
            await asyncio.sleep(1)
            asked = asyncio.create_task(ask(model))
            await asyncio.sleep(1)
            hosts["base"].come_back()
            assert (await asked).parameters == {"retried": True}
            return counts_of(model)

    assert run(scenario()) == {BASE: (1, 1)}


def test_a_candidate_whose_queue_is_full_is_rescued() -> None:
    """A request to a candidate with a full queue is rescued and counts as its error."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].leave.clear()
        async with watched(hosts=hosts, max_queue_rows=1, max_batch_rows=1) as model:
            asked = [asyncio.create_task(ask(model)) for _ in range(2)]
            await settle()
            answer = await ask(model)
            assert (answer.variant, answer.parameters) == ("base", {"rescued_from": "light"})
            hosts["light"].leave.set()
            await asyncio.gather(*asked)
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (3, 1)}


def test_a_shed_is_an_error() -> None:
    """A request that is shed counts as an error of the chosen variant."""

    async def scenario() -> Any:
        hosts = two()
        for host in hosts.values():
            host.leave.clear()
        async with watched(hosts=hosts, max_queue_rows=1, max_batch_rows=1) as model:
            asked = [asyncio.create_task(ask(model)) for _ in range(2)]
            asked += [asyncio.create_task(ask(model, pinned="base")) for _ in range(2)]
            await settle()
            with pytest.raises(Overloaded):
                await ask(model)
            for host in hosts.values():
                host.leave.set()
            await asyncio.gather(*asked)
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (3, 1)}


def test_a_deadline_is_an_error() -> None:
    """A missed deadline is an error, whoever set the deadline."""

    async def scenario() -> Any:
        async with watched(hosts={"base": Host(), "light": Host(run_s=5)}) as model:
            with pytest.raises(DeadlineExceeded):
                await ask(model, header_s=2)
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (1, 1)}


def test_a_bad_request_is_the_clients() -> None:
    """A request that is invalid counts, and not as an error."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].error = InvalidRequest("no UTF-8")
        async with watched(hosts=hosts) as model:
            with pytest.raises(InvalidRequest):
                await ask(model)
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (1, 0)}


def test_an_input_that_the_baseline_refuses_as_well_is_nobodys_error() -> None:
    """An input that both variants refuse is no error, and the client gets the baseline's message."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].error = RefusedInput("expected 0 to 30")
        hosts["base"].error = RefusedInput("expected 0 to 63")
        async with watched(hosts=hosts) as model:
            with pytest.raises(RefusedInput, match="63"):
                await ask(model)
            return counts_of(model), model.tallies["light"].errors, model.tallies["base"].errors

    assert run(scenario()) == ({LIGHT: (1, 0)}, 0, 0)


def test_an_input_that_only_the_candidate_refuses_is_its_error() -> None:
    """An input that only the candidate refuses is its error, and the baseline answers."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].error = RefusedInput("expected 0 to 30")
        async with watched(hosts=hosts) as model:
            assert (await ask(model)).variant == "base"
            return counts_of(model), dict(model.tallies["light"].failures), model.tallies["light"].rescues

    assert run(scenario()) == ({LIGHT: (1, 1)}, {"RefusedInput": 1}, 1)


def test_an_input_that_the_baseline_refuses_is_not_its_error() -> None:
    """An input that the baseline refuses is not an error of the baseline."""

    async def scenario() -> Any:
        hosts = two()
        hosts["base"].error = RefusedInput("expected 0 to 63")
        async with watched("base", hosts) as model:
            with pytest.raises(RefusedInput):
                await ask(model)
            return counts_of(model), model.tallies["base"].requests

    assert run(scenario()) == ({BASE: (1, 0)}, 0)


def test_what_breaks_in_no_way_that_is_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception counts as an error of the chosen variant."""

    async def fail(*_: object) -> Ran:
        raise RuntimeError("a bug of ours")

    async def scenario() -> Any:
        async with watched() as model:
            monkeypatch.setattr(ServedVariant, "infer", fail)
            with pytest.raises(RuntimeError):
                await ask(model)
            return counts_of(model)

    assert run(scenario()) == {LIGHT: (1, 1)}
