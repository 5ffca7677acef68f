"""Which requests a shadow gets, and how its answers are compared."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serve.base.errors import ModelFailed
from serve.base.settings import Settings
from serve.base.tensor import Arrays
from serve.counting.shadow_results import ShadowResults
from tests.serve.clock import run
from tests.serve.host import Host
from tests.serve.queues import rows
from tests.serve.served_model import ask, make_served, replace, request_of, routes, serving, two
from tests.serve.shadows import LATER_S, WATCH, Odd, compared, copies_of, faulty, other, shadowed


def test_the_same_arrays_go_to_the_shadow_after_the_answer() -> None:
    """The shadow gets the same arrays after the client has its answer."""
    light = Odd(lambda y: y)

    async def scenario() -> tuple[int, list[Arrays]]:
        async with shadowed({"base": Host(), "light": light}) as model:
            await ask(model, request_of(7))
            early = len(light.asked)
            await asyncio.sleep(LATER_S)
            return early, light.asked

    early, asked = run(scenario())
    assert early == 0
    assert [arrays["x"].tolist() for arrays in asked] == [rows(7)["x"].tolist()]


def test_copies_share_runs() -> None:
    """Twenty copies share three runs of at most eight rows."""
    light = Host()
    copies = compared(light, 20)
    assert (light.sizes, copies.pairs.pairs) == ([8, 8, 4], 20)


@pytest.mark.parametrize(("answer", "differ"), [(lambda y: 2 * y, 0), (other, 3)], ids=["alike", "other"])
def test_pairs_are_compared(answer: Callable[[Any], Any], differ: int) -> None:
    """Pairs are compared by the top class, in total and by output."""
    copies = compared(Odd(answer), 3)
    assert (copies.pairs.pairs, copies.pairs.disagreements, copies.pairs.failures) == (3, differ, 0)
    assert copies.outputs == {"y": copies.pairs}


def test_a_pair_that_differs_is_shown() -> None:
    """A differing pair is recorded with its request id, its slice and both answers."""

    async def scenario() -> Any:
        async with shadowed({"base": Host(), "light": Odd(other)}) as model:
            await ask(model, request_of(0), request_id="a1", slice_="de")
            await asyncio.sleep(LATER_S)
            assert model.counter is not None
            return list(model.counter.disagreements)

    [shown] = run(scenario())
    assert (shown.request_id, shown.slice, shown.output) == ("a1", "de", "y")
    assert (shown.baseline, shown.candidate) == ("0 (0.33)", "1 (0.79)")


def test_classes_are_told_by_their_names() -> None:
    """A differing pair names the classes as the baseline's bundle does."""

    async def scenario() -> Any:
        async with shadowed({"base": Host(), "light": Odd(other)}) as model:
            model.shadows.classes = ("cat", "dog", "bird")
            model.shadows.assign({"light": 1.0}, model.served, model.counter)
            await ask(model, request_of(0))
            await asyncio.sleep(LATER_S)
            assert model.counter is not None
            return list(model.counter.disagreements)

    [shown] = run(scenario())
    assert (shown.baseline, shown.candidate) == ("cat (0.33)", "dog (0.79)")


def test_several_shadows_get_everything() -> None:
    """A shadow that hangs does not slow another one; only the candidate's pairs are counted."""

    async def scenario() -> tuple[int, int, int]:
        slim = faulty("hangs")
        hosts = {"base": Host(), "light": Host(), "slim": slim}
        async with shadowed(hosts, {"light": 1.0, "slim": 1.0}) as model:
            for _ in range(5):
                await ask(model)
            await asyncio.sleep(1)
            light, early = model.tallies["light"].copies, model.tallies["slim"].copies
            slim.leave.set()
            await asyncio.sleep(LATER_S)
            assert model.tallies["slim"].copies == 5
            return light, early, copies_of(model).pairs.pairs

    assert run(scenario()) == (5, 0, 5)


def test_pairs_are_told_by_slice() -> None:
    """Pairs are counted by slice, named by its first 64 characters; a pair without a slice only in total."""

    async def scenario() -> ShadowResults:
        async with shadowed({"base": Host(), "light": Odd(other)}) as model:
            for slice_ in ("de", "fr", "de", None, "x" * 100):
                await ask(model, slice_=slice_)
            await asyncio.sleep(LATER_S)
            return copies_of(model)

    copies = run(scenario())
    assert {name: part.disagreements for name, part in copies.slices.items()} == {
        "de": 2,
        "fr": 1,
        "x" * 64: 1,
    }
    assert copies.pairs.disagreements == 5


def test_a_share_of_the_requests_is_copied() -> None:
    """A share of 0.25 copies 100 of 400 requests, within five standard deviations of 8.7."""

    async def scenario() -> ShadowResults:
        async with shadowed(two(), {"light": 0.25}) as model:
            for _ in range(400):
                await ask(model)
            await asyncio.sleep(LATER_S)
            return copies_of(model)

    random.seed(5)
    copies = run(scenario())
    assert 56 <= copies.pairs.pairs <= 144
    assert copies.dropped == 0


def test_only_what_the_baseline_was_chosen_for_is_copied() -> None:
    """Pinned requests, those of other variants, and rescued ones are not copied."""

    async def scenario() -> int:
        hosts = {**two(), "slim": faulty("fails")}
        async with serving(hosts) as model:
            model.route(routes({"slim": 1}, {"light": 1.0}), WATCH)
            assert (await ask(model)).parameters == {"rescued_from": "slim"}
            hosts["slim"].error = None
            assert (await ask(model)).variant == "slim"
            await ask(model, pinned="base")
            await asyncio.sleep(LATER_S)
            tally = model.tallies["light"]
            return tally.copies + tally.drops

    assert run(scenario()) == 0


def test_a_request_that_fails_is_not_copied() -> None:
    """A request that fails is not copied."""

    async def scenario() -> int:
        async with shadowed(two()) as model:
            with pytest.raises(ModelFailed):
                await ask(model, request_of(np.inf))
            await asyncio.sleep(LATER_S)
            return copies_of(model).pairs.pairs

    assert run(scenario()) == 0


def test_a_shadow_that_the_routes_drop_gets_no_more() -> None:
    """A removed shadow runs no more copies, not even waiting ones."""
    light = Host()

    async def scenario() -> int:
        async with shadowed({"base": Host(), "light": light}) as model:
            await ask(model)
            model.route(routes({"base": 1}, revision=2), WATCH)
            await ask(model)
            await asyncio.sleep(LATER_S)
            return len(model.shadows)

    assert (run(scenario()), light.sizes) == (0, [])


def test_a_new_version_of_a_shadow_gets_the_copies() -> None:
    """After a change of version, only the new version of the shadow gets copies."""

    async def scenario() -> tuple[list[int], list[int]]:
        old, new = Host(), Host()
        async with shadowed({"base": Host(), "light": old}) as model:
            await replace(model, {"base": 1}, light=make_served("light", new, Settings()))
            model.route(routes({"base": 1}, {"light": 1.0}), WATCH)
            await ask(model)
            await asyncio.sleep(LATER_S)
            return old.sizes, new.sizes

    assert run(scenario()) == ([], [1])
