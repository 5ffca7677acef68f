"""Which variant answers a request, and by which deadline."""

import asyncio

import pytest

from serve.base.errors import DeadlineExceeded, Overloaded, UnknownModel, UnknownVariant
from serve.engine.model import find_model
from tests.serve.clock import now, run, settle
from tests.serve.host import Host
from tests.serve.served_model import as_is, ask, replace, request_of, scale_of, serving, two


def test_the_routes_choose() -> None:
    """With all traffic at one variant, it answers each of 20 requests."""

    async def scenario() -> set[tuple[str, float]]:
        async with serving(two(), {"base": 0, "light": 1}) as model:
            answers = [await ask(model) for _ in range(20)]
            return {(answer.variant, scale_of(answer)) for answer in answers}

    assert run(scenario()) == {("light", 2.0)}


def test_a_pin_is_stronger_than_the_routes() -> None:
    """A pinned variant answers even if its weight is 0."""

    async def scenario() -> tuple[str, float]:
        async with serving(two()) as model:
            answer = await ask(model, pinned="light")
            return answer.variant, scale_of(answer)

    assert run(scenario()) == ("light", 2.0)


def test_a_key_sticks() -> None:
    """Each of 40 keys always gets the same variant, and both variants are used (chance: 2 in 2**40)."""

    async def scenario() -> list[set[str]]:
        async with serving(two(), {"base": 1, "light": 1}) as model:
            return [
                {model.admit(pinned=None, key=str(key), timeout_s=None).variant for _ in range(5)}
                for key in range(40)
            ]

    chosen = run(scenario())
    assert all(len(variants) == 1 for variants in chosen)
    assert set.union(*chosen) == {"base", "light"}


def test_a_variant_that_is_not_there_is_named_when_it_is_pinned() -> None:
    """The error for an unknown pinned variant suggests the nearest one."""

    async def scenario() -> None:
        async with serving(two()) as model:
            with pytest.raises(UnknownVariant, match="serves no variant 'ligt'; did you mean 'light'"):
                model.admit(pinned="ligt", key=None, timeout_s=None)

    run(scenario())


def test_the_baseline_answers_for_a_variant_that_was_never_loaded() -> None:
    """The baseline answers if the routes choose a variant that this gateway could not load."""

    async def scenario() -> str:
        async with serving({"base": Host()}, {"light": 1}) as model:
            return (await ask(model)).variant

    assert run(scenario()) == "base"


@pytest.mark.parametrize("pinned", [None, "light"])
def test_the_baseline_answers_for_a_variant_that_was_unloaded_meanwhile(pinned: str | None) -> None:
    """The baseline answers for a variant that was unloaded after admission, unless it was pinned."""

    async def scenario() -> str:
        async with serving(two(), {"light": 1}) as model:
            ticket = model.admit(pinned=pinned, key=None, timeout_s=None)
            await replace(model, {"base": 1})
            try:
                return (await model.answer(request_of(), ticket, as_is)).variant
            except UnknownVariant:
                return "nobody"

    assert run(scenario()) == ("base" if pinned is None else "nobody")


@pytest.mark.parametrize(
    ("header_s", "parameter_s", "settings_s"),
    [(2, 9, 30), (9, 2, 30), (9, None, 2), (None, 9, 2), (None, None, 2)],
)
def test_the_least_of_all_limits_counts(
    header_s: float | None, parameter_s: float | None, settings_s: float
) -> None:
    """The smallest limit of the header, the parameter and the settings applies."""

    async def scenario() -> float:
        hosts = {"base": Host(run_s=50)}
        async with serving(hosts, request_timeout_s=settings_s, run_timeout_s=100) as model:
            with pytest.raises(DeadlineExceeded):
                await ask(model, request_of(timeout_s=parameter_s), header_s=header_s)
            return now()

    assert run(scenario()) == 2.0


def test_a_shed_is_counted_once_and_is_no_request() -> None:
    """A request that is refused for a full queue counts as a shed and not as a request."""

    async def scenario() -> tuple[int, int]:
        hosts = two()
        hosts["base"].leave.clear()
        async with serving(hosts, max_queue_rows=1, max_batch_rows=1) as model:
            asked = [asyncio.create_task(ask(model)) for _ in range(2)]
            await settle()
            with pytest.raises(Overloaded):
                await ask(model)
            hosts["base"].leave.set()
            await asyncio.gather(*asked)
            return model.tallies["base"].sheds, model.tallies["base"].requests

    assert run(scenario()) == (1, 2)


def test_a_client_that_went_away_is_nobodys_error() -> None:
    """A request whose client left counts as neither a request nor an error."""

    async def scenario() -> tuple[int, int]:
        hosts = two()
        hosts["base"].leave.clear()
        async with serving(hosts) as model:
            asked = asyncio.create_task(ask(model))
            await settle()
            asked.cancel()
            await asyncio.wait([asked])
            hosts["base"].leave.set()
            return model.tallies["base"].requests, model.tallies["base"].errors

    assert run(scenario()) == (0, 0)


def test_counts_outlive_a_version() -> None:
    """The counts of a variant stay after it is unloaded."""

    async def scenario() -> int:
        async with serving(two()) as model:
            await ask(model, pinned="light")
            await replace(model, {"base": 1})
            return model.tallies["light"].requests

    assert run(scenario()) == 1


def test_the_model_is_ready_when_every_variant_is() -> None:
    """The model is ready if all its variants are; each variant also answers for itself."""

    async def scenario() -> list[bool]:
        hosts = two()
        async with serving(hosts) as model:
            seen = [await model.ready(), await model.ready("light")]
            hosts["light"].vanish()
            return [*seen, await model.ready(), await model.ready("light"), await model.ready("base")]

    assert run(scenario()) == [True, True, False, False, True]


def test_the_baseline_is_named_first() -> None:
    """The variants are listed with the baseline first and the others by name."""

    async def scenario() -> list[str]:
        async with serving({name: Host() for name in ("a", "c", "base", "d")}) as model:
            return model.variants

    assert run(scenario()) == ["base", "a", "c", "d"]


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    """The error for an unknown model lists the known ones."""
    with pytest.raises(UnknownModel, match="no model 'lineer' is served here; known: none"):
        find_model({}, "lineer")
