"""A model whose accepted baseline differs from the repository's."""

import asyncio
from pathlib import Path

from deployments.keeper import Keeper
from serve.engine.catalog import LoadedModel
from serve.rollout.api_records import ActRequest, RolloutRequest
from tests.deployments.keepers import Reporting, make_keeper, reporting


async def accepted(keeper: Keeper) -> None:
    """Let `light` win against `base` and accept it."""
    view = await keeper.command("start", "linear", RolloutRequest(candidate="light"), "ann")
    while not view.rollout.phase.over:
        view = await keeper.command("act", view.rollout.rollout, "promote", ActRequest(), "ann")
    await keeper.command("act", view.rollout.rollout, "accept", ActRequest(), "ann")


async def served(keeper: Keeper) -> LoadedModel:
    """Return the model as a new gateway gets it."""
    gateway = Reporting(keeper, "new")
    await gateway.report()
    return gateway.catalog.models["linear"]


def test_gateways_hear_of_the_new_baseline(repository: Path, tmp_path: Path) -> None:
    """Gateways and `bundles` have the accepted baseline."""

    async def scenario() -> tuple[str, str]:
        keeper, _ = await make_keeper(repository, tmp_path)
        await accepted(keeper)
        return (await served(keeper)).routes.baseline, (await keeper.command("bundles", "linear")).baseline

    assert asyncio.run(scenario()) == ("light", "light")


def test_the_old_baseline_is_a_variant_like_others(repository: Path, tmp_path: Path) -> None:
    """The former baseline can be unloaded and loaded again."""

    async def scenario() -> list[list[str]]:
        keeper, _ = await make_keeper(repository, tmp_path)
        async with reporting(keeper):
            await accepted(keeper)
            await keeper.unload("linear", "base")
            alone = await served(keeper)
            await keeper.load("linear", "base")
            again = await served(keeper)
        assert {alone.routes.baseline, again.routes.baseline} == {"light"}
        return [sorted(alone.variants), sorted(again.variants)]

    assert asyncio.run(scenario()) == [["light"], ["base", "light"]]


def test_the_new_baseline_is_served_where_the_old_one_cannot_be(repository: Path, tmp_path: Path) -> None:
    """If the former baseline is broken, the accepted one is served alone."""

    async def scenario() -> tuple[str, list[str]]:
        keeper, hosts = await make_keeper(repository, tmp_path)
        async with reporting(keeper):
            await accepted(keeper)
            await keeper.unload("linear", None)
            hosts.broken["linear/base"] = "it is damaged"
            failures = await keeper._load(keeper._plan.read()[0], ["base", "light"], whole=True)
            assert failures == {"linear/base": "it is damaged"}
            model = await served(keeper)
        return model.routes.baseline, sorted(model.variants)

    assert asyncio.run(scenario()) == ("light", ["light"])
