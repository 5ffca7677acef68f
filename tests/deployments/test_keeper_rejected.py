"""A variant that is not served, and who asks for it all the same."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from serve.base.errors import InvalidBundle, UnknownVariant
from serve.rollout.api_records import RolloutWanted, RoutesWanted
from tests.deployments.keepers import Reporting, make_keeper, reporting

REFUSED = "'poor': it was rejected: accuracy 0.50"


def test_a_rejected_candidate_is_refused_with_the_reason(repository: Path, tmp_path: Path) -> None:
    """Whoever made it need not look for it in the index."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, tmp_path)
        await keeper.command("start", "linear", RolloutWanted(candidate="poor"), "ann")

    with pytest.raises(UnknownVariant, match=REFUSED):
        asyncio.run(scenario())


def test_a_rejected_variant_in_routes_is_refused_with_the_reason(repository: Path, tmp_path: Path) -> None:
    """Routes with a rejected variant are refused with the reason of the rejection."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, tmp_path)
        await keeper.command("set_routes", "linear", RoutesWanted(weights={"poor": 1}), "ann")

    with pytest.raises(UnknownVariant, match=REFUSED):
        asyncio.run(scenario())


def test_gateways_hear_what_was_rejected(repository: Path, tmp_path: Path) -> None:
    """For those who pin their requests to it."""

    async def scenario() -> Mapping[str, str]:
        keeper, _ = await make_keeper(repository, tmp_path)
        gateway = Reporting(keeper, "one")
        await gateway.report()
        return gateway.catalog.models["linear"].rejected

    assert list(asyncio.run(scenario())) == ["poor"]


def test_gateways_hear_what_could_not_be_loaded_and_what_was_unloaded(
    repository: Path, tmp_path: Path
) -> None:
    """Until it is served again; a rollout to it is refused in the same words."""

    async def scenario() -> list[Mapping[str, str]]:
        keeper, hosts = await make_keeper(repository, tmp_path)
        told: list[Mapping[str, str]] = []
        async with reporting(keeper) as gateway:

            async def hear() -> None:
                await gateway.report()
                told.append(gateway.catalog.models["linear"].absent)

            await gateway.report()
            await keeper.unload("linear", "light")
            await hear()
            hosts.broken["linear/light"] = "its digest is wrong"
            with pytest.raises(InvalidBundle):
                await keeper.load("linear", "light")
            await hear()
            with pytest.raises(UnknownVariant, match="no variant 'light': its digest is wrong; served: base"):
                await keeper.command("start", "linear", RolloutWanted(candidate="light"), "ann")
            hosts.broken.clear()
            await keeper.load("linear", "light")
            await hear()
        return told

    assert asyncio.run(scenario()) == [{"light": "it was unloaded"}, {"light": "its digest is wrong"}, {}]
