"""What the keeper loads, reports to gateways and counts, without Ray."""

import asyncio
from pathlib import Path

import pytest

from serve.base.errors import (
    CounterweightError,
    InvalidBundle,
    InvalidRequest,
    RejectedBundle,
    UnknownModel,
    UnknownVariant,
)
from serve.bundles.bundle import MANIFEST
from serve.engine.catalog import IndexEntry
from tests.conftest import make_bundle
from tests.deployments.keepers import Reporting, make_keeper, reporting


def states(entries: list[IndexEntry]) -> dict[str, tuple[str, str]]:
    return {f"{entry.name}/{entry.version}": (entry.state, entry.reason) for entry in entries}


def test_loads_what_the_plan_says(repository: Path, tmp_path: Path) -> None:
    """A new gateway gets the whole catalog, and one that has it gets none."""

    async def scenario() -> tuple[list[str], float, bool]:
        keeper, _ = await make_keeper(repository, tmp_path, weights={"linear": {"base": 1, "light": 3}})
        gateway = Reporting(keeper, "one")
        await gateway.report()
        model = gateway.catalog.models["linear"]
        return sorted(model.variants), model.routes.share("light"), (await gateway.report()).catalog is None

    assert asyncio.run(scenario()) == (["base", "light"], 0.75, True)


def test_the_index_says_why_a_variant_is_not_there(repository: Path, tmp_path: Path) -> None:
    """The index has the reason of each variant that is rejected or cannot be read."""

    async def scenario() -> dict[str, tuple[str, str]]:
        keeper, _ = await make_keeper(repository, tmp_path)
        make_bundle(repository, "slim")
        (repository / "other" / "base").mkdir(parents=True)
        (repository / "other" / "base" / MANIFEST).write_text("{")
        return states(await keeper.index())

    index = asyncio.run(scenario())
    assert index["linear/base"] == ("READY", "")
    assert index["linear/poor"][0] == "UNAVAILABLE"
    assert index["linear/poor"][1].startswith("it was rejected: accuracy 0.50")
    assert index["linear/slim"] == ("UNAVAILABLE", "it was never loaded")
    assert index["other/"][0] == "UNAVAILABLE"
    assert "is not JSON" in index["other/"][1]


def test_a_new_version_is_served_and_the_old_one_goes(repository: Path, tmp_path: Path) -> None:
    """A new version is served; the old one's host is removed after every gateway has dropped it."""

    async def scenario() -> tuple[bool, bool]:
        keeper, hosts = await make_keeper(repository, tmp_path)
        async with reporting(keeper) as gateway:
            await gateway.report()
            old = gateway.catalog.models["linear"].variants["light"]
            make_bundle(repository, "light", scale=5)
            await keeper.load("linear", None)
            new = gateway.catalog.models["linear"].variants["light"]
            return new.digest != old.digest, hosts.removed == [old]

    assert asyncio.run(scenario()) == (True, True)


def test_a_change_is_done_when_every_gateway_serves_it(repository: Path, tmp_path: Path) -> None:
    """A change is complete only after the last gateway serves it."""

    async def scenario() -> tuple[bool, bool]:
        keeper, hosts = await make_keeper(repository, tmp_path)
        slow = Reporting(keeper, "slow")
        await slow.report()
        async with reporting(keeper):
            unloading = asyncio.create_task(keeper.unload("linear", "light"))
            for _ in range(20):
                await slow.report(apply=False)
                await asyncio.sleep(0.005)
            early = unloading.done() or bool(hosts.removed)
            await slow.report()
            await slow.report()
            await unloading
        return early, "light" in slow.catalog.models["linear"].variants

    assert asyncio.run(scenario()) == (False, False)


def test_a_version_that_does_not_come_up_leaves_the_old_one(repository: Path, tmp_path: Path) -> None:
    """If a version fails to start, the caller and the index get the reason; a later load succeeds."""

    async def scenario() -> tuple[tuple[str, str], tuple[str, str]]:
        keeper, hosts = await make_keeper(repository, tmp_path)
        hosts.broken["linear/light"] = "it has no graph"
        with pytest.raises(InvalidBundle, match="linear/light: it has no graph"):
            await keeper.load("linear", "light")
        broken = states(await keeper.index())["linear/light"]
        hosts.broken.clear()
        await keeper.load("linear", "light")
        return broken, states(await keeper.index())["linear/light"]

    assert asyncio.run(scenario()) == (("READY", "it has no graph"), ("READY", ""))


def test_a_variant_that_a_gateway_cannot_have_is_no_success(repository: Path, tmp_path: Path) -> None:
    """A load fails if a gateway cannot place the variant, even if the keeper could."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, tmp_path)
        async with reporting(keeper) as gateway:
            await gateway.report()
            gateway.failures = {"linear/light": "no memory"}
            make_bundle(repository, "light", scale=5)
            with pytest.raises(InvalidBundle, match="linear/light: no memory"):
                await keeper.load("linear", "light")

    asyncio.run(scenario())


def test_one_that_is_being_loaded_is_said_to_be(repository: Path, tmp_path: Path) -> None:
    """The index says LOADING while the host of a variant starts."""

    async def scenario() -> str:
        keeper, hosts = await make_keeper(repository, tmp_path)
        hosts.leave.clear()
        loading = asyncio.create_task(keeper.load("linear", "light"))
        while states(await keeper.index())["linear/light"][0] != "LOADING":
            await asyncio.sleep(0.001)
        hosts.leave.set()
        await loading
        return states(await keeper.index())["linear/light"][0]

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == "READY"


def test_an_unloaded_variant_gives_its_traffic_to_the_others(repository: Path, tmp_path: Path) -> None:
    """After an unload the others have the traffic, and a variant that is loaded again gets none."""

    async def scenario() -> tuple[float, tuple[str, str], float]:
        keeper, _ = await make_keeper(repository, tmp_path, weights={"linear": {"base": 1, "light": 3}})
        async with reporting(keeper) as gateway:
            await gateway.report()
            await keeper.unload("linear", "light")
            alone = gateway.catalog.models["linear"].routes.share("base")
            entry = states(await keeper.index())["linear/light"]
            await keeper.load("linear", "light")
            return alone, entry, gateway.catalog.models["linear"].routes.share("light")

    assert asyncio.run(scenario()) == (1.0, ("UNAVAILABLE", "it was unloaded"), 0.0)


def test_a_model_that_was_unloaded_comes_back_whole(repository: Path, tmp_path: Path) -> None:
    """Loading one variant of an unloaded model loads the baseline, too."""

    async def scenario() -> tuple[bool, list[str]]:
        keeper, _ = await make_keeper(repository, tmp_path)
        async with reporting(keeper) as gateway:
            await gateway.report()
            await keeper.unload("linear", None)
            gone = "linear" not in gateway.catalog.models
            await keeper.load("linear", "light")
            return gone, sorted(gateway.catalog.models["linear"].variants)

    assert asyncio.run(scenario()) == (True, ["base", "light"])


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (("lineer", None), UnknownModel, "did you mean 'linear'"),
        (("..", None), UnknownModel, "no model '..' in the repository"),
        (("linear", "ligt"), UnknownVariant, "did you mean 'light'"),
        (("linear", "poor"), RejectedBundle, "was rejected: accuracy"),
    ],
    ids=["unknown model", "no name", "unknown variant", "rejected variant"],
)
def test_what_cannot_be_loaded_is_named(
    repository: Path, asked: tuple[str, str | None], error: type[Exception], message: str
) -> None:
    """An error names the bundle that cannot be loaded, and nothing changes."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, repository.parent)
        with pytest.raises(error, match=message):
            await keeper.load(*asked)

    asyncio.run(scenario())


def test_a_model_whose_baseline_was_rejected_is_not_loaded_in_silence(
    repository: Path, tmp_path: Path
) -> None:
    """Loading a model whose baseline was rejected raises the reason."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, tmp_path)
        make_bundle(repository, "base", rejected="too bad")
        with pytest.raises(RejectedBundle, match="'base' of 'linear' was rejected: too bad"):
            await keeper.load("linear", None)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (("lookup", None), UnknownModel),
        (("linear", "slim"), UnknownVariant),
        (("linear", "base"), InvalidRequest),
    ],
    ids=["unknown model", "unknown variant", "baseline"],
)
def test_what_cannot_be_unloaded_is_named(
    repository: Path, asked: tuple[str, str | None], error: type[CounterweightError]
) -> None:
    """An error names the variant that cannot be unloaded, and nothing changes."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, repository.parent)
        with pytest.raises(error):
            await keeper.unload(*asked)

    asyncio.run(scenario())


def test_a_keeper_that_is_made_anew_knows_what_was_loaded(repository: Path, tmp_path: Path) -> None:
    """A new keeper keeps the unloaded variants and the revision of its predecessor."""

    async def scenario() -> tuple[list[str], bool]:
        keeper, _ = await make_keeper(repository, tmp_path)
        gateway = Reporting(keeper, "one")
        await keeper.unload("linear", "light")
        await gateway.report()
        gateway.keeper, _ = await make_keeper(repository, tmp_path)
        return list(gateway.catalog.models["linear"].variants), (await gateway.report()).catalog is None

    assert asyncio.run(scenario()) == (["base"], True)


def test_shapes_that_gateways_have_seen_reach_the_hosts(repository: Path, tmp_path: Path) -> None:
    """Each report of a gateway passes its shapes on to the hosts."""

    async def scenario() -> None:
        keeper, hosts = await make_keeper(repository, tmp_path)
        gateway = Reporting(keeper, "one")
        gateway.shapes = {"linear": (((6, 4),),)}
        await gateway.report()
        assert hosts.shapes[-1] == {"linear": (((6, 4),),)}

    asyncio.run(scenario())
