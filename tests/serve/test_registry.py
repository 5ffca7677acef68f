"""What a gateway serves while catalogs come and go."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from serve.catalog import Catalog, LoadedModel, LoadedVariant
from serve.errors import InvalidBundle, VariantUnavailable
from serve.rollout.tally import Load, Tally
from serve.routing import Routes
from serve.tensor import Signature, TensorSpec
from tests.conftest import SIGNATURE
from tests.serve.clock import settle
from tests.serve.gateway import Gateway
from tests.serve.served import request_of, scale_of
from tests.serve.texts import SIGNATURE as TEXT_SIGNATURE
from tests.serve.texts import make_text_bundle

T = TypeVar("T")


@pytest.fixture
def gateway(module_repository: Path) -> Gateway:
    return Gateway(module_repository / "linear" / "base")


def run(gateway: Gateway, scenario: Coroutine[Any, Any, T]) -> T:
    """The scenario's result; afterwards nothing is served."""

    async def played() -> T:
        try:
            return await scenario
        finally:
            for host in gateway.hosts.values():
                host.leave.set()
            await gateway.apply(99)
            await settle()
            assert all(host.closed for host in gateway.hosts.values()), "a placement was not let go"

    return asyncio.run(played())


def test_serves_what_the_catalog_says(gateway: Gateway) -> None:
    """Every variant, and the routes with them."""

    async def scenario() -> tuple[dict[str, str], int, list[str], float]:
        failures = await gateway.apply(7, base=1, light=2)
        model = gateway.model
        return failures, gateway.registry.revision, model.variants, await gateway.ask("light")

    assert run(gateway, scenario()) == ({}, 7, ["base", "light"], 2.0)


def test_a_new_version_takes_over_and_loses_nothing_that_runs(gateway: Gateway) -> None:
    """The old one answers to the end what it took; whoever comes is answered by the new one meanwhile."""

    async def scenario() -> tuple[float, float, bool]:
        await gateway.apply(1, base=1, light=2)
        old = gateway.hosts["light", 2]
        old.leave.clear()
        running = asyncio.create_task(gateway.ask("light"))
        await settle()
        changing = asyncio.create_task(gateway.apply(2, base=1, light=3))
        while gateway.registry.revision < 2:
            await asyncio.sleep(0.001)
        newer, open_yet = await gateway.ask("light"), not old.closed and not changing.done()
        old.leave.set()
        await changing
        assert old.closed
        return await running, newer, open_yet

    assert run(gateway, scenario()) == (2.0, 3.0, True)


def test_what_did_not_change_stays_as_it_is(gateway: Gateway) -> None:
    """Same version, same placement, also where another variant of the model changes."""

    async def scenario() -> tuple[bool, bool]:
        await gateway.apply(1, base=1, light=2)
        before = gateway.model.served["base"]
        await gateway.apply(2, base=1, light=3)
        model = gateway.model
        return model.served["base"] is before, gateway.hosts["base", 1].closed

    assert run(gateway, scenario()) == (True, False)


def test_routes_change_alone(gateway: Gateway) -> None:
    """Without a variant being touched."""

    async def scenario() -> tuple[int, float, int]:
        await gateway.apply(1, base=1, light=2)
        await gateway.apply(2, base=1, light=2, weight=3)
        routes = gateway.model.routes
        return routes.revision, routes.share("light"), len(gateway.hosts)

    assert run(gateway, scenario()) == (2, 0.75, 2)


def test_a_version_that_cannot_be_had_leaves_the_old_one_in_place(gateway: Gateway) -> None:
    """The reason is handed back; the other variants change."""

    async def scenario() -> tuple[dict[str, str], float, float]:
        await gateway.apply(1, base=1, light=2)
        gateway.broken["light"] = InvalidBundle("its digest is wrong")
        failures = await gateway.apply(2, base=4, light=3)
        return failures, await gateway.ask("light"), await gateway.ask("base")

    assert run(gateway, scenario()) == ({"linear/light": "its digest is wrong"}, 2.0, 4.0)


def test_what_could_not_be_had_is_tried_again_with_the_next_catalog(gateway: Gateway) -> None:
    """A host that was not there for a moment is not given up."""

    async def scenario() -> tuple[dict[str, str], dict[str, str], float]:
        gateway.broken["light"] = VariantUnavailable("it does not answer")
        first = await gateway.apply(1, base=1, light=2)
        gateway.broken.clear()
        return first, await gateway.apply(2, base=1, light=2), await gateway.ask("light")

    assert run(gateway, scenario()) == ({"linear/light": "it does not answer"}, {}, 2.0)


def test_a_model_without_its_baseline_is_not_served(gateway: Gateway) -> None:
    """And what was made for it is let go."""

    async def scenario() -> tuple[dict[str, str], list[str], bool]:
        gateway.broken["base"] = InvalidBundle("no graph")
        failures = await gateway.apply(1, base=1, light=2)
        return failures, list(gateway.registry.models), gateway.hosts["light", 2].closed

    assert run(gateway, scenario()) == ({"linear/base": "no graph"}, [], True)


def test_one_model_that_fails_holds_up_no_other(gateway: Gateway) -> None:
    """Each is served by itself."""

    async def scenario() -> tuple[dict[str, str], list[str]]:
        await gateway.apply(1, base=1)
        sound = gateway.model
        lost = LoadedVariant(digest="0" * 64, folder="nowhere", host="base", full_rows=8)
        routes = Routes(model="lost", baseline="base", weights={"base": 1})
        models = {
            name: LoadedModel(name=name, signature=sound.signature, routes=routes, variants={"base": version})
            for name, version in {"lost": lost, "linear": sound.served["base"].version}.items()
        }
        failures = await gateway.registry.apply(Catalog(revision=2, models=models))
        return failures, list(gateway.registry.models)

    failures, models = run(gateway, scenario())
    assert list(failures) == ["lost/base"]
    assert "nowhere is no bundle" in failures["lost/base"]
    assert models == ["linear"]


def test_an_unloaded_model_is_gone_once_it_has_answered(gateway: Gateway) -> None:
    """Nobody finds it any more, and what it took is answered first."""

    async def scenario() -> tuple[list[str], float, bool]:
        await gateway.apply(1, base=1)
        host = gateway.hosts["base", 1]
        host.leave.clear()
        running = asyncio.create_task(gateway.ask())
        await settle()
        unloading = asyncio.create_task(gateway.apply(2))
        await settle()
        models, open_yet = list(gateway.registry.models), not host.closed
        host.leave.set()
        await unloading
        return models, await running, open_yet

    assert run(gateway, scenario()) == ([], 1.0, True)


def test_an_unloaded_variant_is_gone_and_its_traffic_is_not(gateway: Gateway) -> None:
    """As the catalog's routes then say."""

    async def scenario() -> tuple[list[str], float, bool]:
        await gateway.apply(1, base=1, light=2, weight=1)
        await gateway.apply(2, base=1)
        return (
            gateway.model.variants,
            await gateway.ask(),
            gateway.hosts["light", 2].closed,
        )

    assert run(gateway, scenario()) == (["base"], 1.0, True)


def test_a_new_signature_makes_a_new_model(gateway: Gateway) -> None:
    """Its requests are read in another way; the counts go on."""
    wide = TensorSpec(name="x", datatype="FP32", shape=("batch", 9))
    other = Signature(inputs=(wide,), outputs=SIGNATURE.outputs)

    async def scenario() -> tuple[bool, bool, int]:
        await gateway.apply(1, base=1)
        await gateway.ask()
        before = gateway.model
        await gateway.apply(2, signature=other, base=2)
        after = gateway.model
        return (
            after is before,
            after.forms == (other,) and gateway.hosts["base", 1].closed,
            after.tallies["base"].requests,
        )

    assert run(gateway, scenario()) == (False, True, 1)


def test_a_new_version_of_the_baseline_is_no_new_model(gateway: Gateway) -> None:
    """Whoever holds the model, such as a request that is being read, is answered by the new version."""

    async def scenario() -> tuple[bool, float]:
        await gateway.apply(1, base=1)
        before = gateway.model
        ticket = before.admit(pinned=None, key=None, timeout_s=None)
        await gateway.apply(2, base=2)
        return gateway.model is before, scale_of(await before.answer(request_of(), ticket))

    assert run(gateway, scenario()) == (True, 2.0)


def test_a_tokenizer_makes_the_model_take_texts(tmp_path: Path) -> None:
    """And its queue joins texts of different lengths."""
    make_text_bundle(tmp_path, "base")
    gateway = Gateway(tmp_path / "words" / "base", TEXT_SIGNATURE)

    async def scenario() -> tuple[list[str], bool]:
        await gateway.apply(1, base=1)
        model = gateway.model
        await gateway.apply(2, base=2)
        return [form.inputs[0].name for form in model.forms], gateway.model is model

    assert run(gateway, scenario()) == (["text", "input_ids"], True)


def test_a_bug_while_placing_is_no_failure_of_the_bundle(gateway: Gateway) -> None:
    """It is not swallowed."""

    async def scenario() -> None:
        gateway.broken["base"] = ZeroDivisionError("ours")
        with pytest.raises(ZeroDivisionError):
            await gateway.apply(1, base=1)

    run(gateway, scenario())


def test_counts_are_those_of_all_gateways_together(gateway: Gateway) -> None:
    """What the others said last, and what this one has itself."""

    async def scenario() -> tuple[int, int, int]:
        await gateway.apply(1, base=1)
        await gateway.ask()
        await settle()
        theirs = Tally()
        theirs.requests = 10
        others = {("linear", "base"): Load(tally=theirs, in_flight=3, waiting_rows=2)}
        gateway.registry.others = others
        both = gateway.registry.counted()["linear", "base"]
        return both.tally.requests, both.in_flight, gateway.registry.loads()["linear", "base"].tally.requests

    assert run(gateway, scenario()) == (11, 3, 1)
