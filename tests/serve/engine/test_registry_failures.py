"""What a gateway serves if it cannot load a variant of the catalog."""

from pathlib import Path

import pytest

from serve.base.errors import InvalidBundle, UnknownVariant, VariantUnavailable
from serve.base.routing import Routes
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant
from tests.serve.gateway import Gateway, run


@pytest.fixture
def gateway(module_repository: Path) -> Gateway:
    return Gateway(module_repository / "linear" / "base")


def test_a_version_that_cannot_be_had_leaves_the_old_one_in_place(gateway: Gateway) -> None:
    """A version that cannot be placed leaves the old one, and the other variants change."""

    async def scenario() -> tuple[dict[str, str], float, float]:
        await gateway.apply(1, base=1, light=2)
        gateway.broken["light"] = InvalidBundle("its digest is wrong")
        failures = await gateway.apply(2, base=4, light=3)
        return failures, await gateway.ask("light"), await gateway.ask("base")

    assert run(gateway, scenario()) == ({"linear/light": "its digest is wrong"}, 2.0, 4.0)


def test_what_could_not_be_had_is_tried_again_with_the_next_catalog(gateway: Gateway) -> None:
    """A variant that failed to load is tried again with the next catalog."""

    async def scenario() -> tuple[dict[str, str], dict[str, str], float]:
        gateway.broken["light"] = VariantUnavailable("it does not answer")
        first = await gateway.apply(1, base=1, light=2)
        gateway.broken.clear()
        return first, await gateway.apply(2, base=1, light=2), await gateway.ask("light")

    assert run(gateway, scenario()) == ({"linear/light": "it does not answer"}, {}, 2.0)


def test_who_asks_for_what_cannot_be_had_hears_why(gateway: Gateway) -> None:
    """A request pinned to a failed variant gets the cause; a request by the routes gets the baseline."""

    async def scenario() -> tuple[float, float]:
        gateway.broken["light"] = VariantUnavailable("it does not answer")
        await gateway.apply(1, base=1, light=2, weight=1)
        with pytest.raises(VariantUnavailable, match=r"'light' of 'linear' .*: it does not"):
            await gateway.ask("light")
        first = await gateway.ask()
        gateway.broken.clear()
        await gateway.apply(2, base=1, light=2)
        return first, await gateway.ask("light")

    assert run(gateway, scenario()) == (1.0, 2.0)


def test_what_the_keeper_could_not_load_is_told_at_once(gateway: Gateway) -> None:
    """A variant that the keeper could not load is refused with the reason."""

    async def scenario() -> bool:
        await gateway.apply(1, base=1)
        before = gateway.model.served["base"]
        catalog = gateway.catalog(2, base=1)
        told = catalog.models["linear"].model_copy(update={"absent": {"light": "its digest is wrong"}})
        await gateway.registry.apply(catalog.put(told))
        with pytest.raises(UnknownVariant, match="no variant 'light': its digest is wrong; served: base"):
            await gateway.ask("light")
        return gateway.model.served["base"] is before

    assert run(gateway, scenario())


def test_a_model_without_its_baseline_is_not_served(gateway: Gateway) -> None:
    """A model whose baseline fails is not served, and its other hosts are closed."""

    async def scenario() -> tuple[dict[str, str], list[str], bool]:
        gateway.broken["base"] = InvalidBundle("no graph")
        failures = await gateway.apply(1, base=1, light=2)
        return failures, list(gateway.registry.models), gateway.hosts["light", 2].closed

    assert run(gateway, scenario()) == ({"linear/base": "no graph"}, [], True)


def test_one_model_that_fails_holds_up_no_other(gateway: Gateway) -> None:
    """A model that fails to load does not keep another model from being served."""

    async def scenario() -> tuple[dict[str, str], list[str]]:
        await gateway.apply(1, base=1)
        sound = gateway.model
        lost = LoadedVariant(digest="0" * 64, folder="nowhere", host="base", full_rows=8)
        routes = Routes(model="lost", baseline="base", weights={"base": 1})
        models = {
            name: LoadedModel(
                name=name,
                signature=sound.signature,
                task="classification",
                routes=routes,
                variants={"base": version},
            )
            for name, version in {"lost": lost, "linear": sound.served["base"].version}.items()
        }
        failures = await gateway.registry.apply(Catalog(revision=2, models=models))
        return failures, list(gateway.registry.models)

    failures, models = run(gateway, scenario())
    assert list(failures) == ["lost/base"]
    assert failures["lost/base"].startswith("nowhere is not a bundle")
    assert models == ["linear"]


def test_a_bug_while_placing_is_no_failure_of_the_bundle(gateway: Gateway) -> None:
    """An unexpected exception while placing is raised."""

    async def scenario() -> None:
        gateway.broken["base"] = ZeroDivisionError("ours")
        with pytest.raises(ZeroDivisionError):
            await gateway.apply(1, base=1)

    run(gateway, scenario())
