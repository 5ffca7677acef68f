"""What the keeper answers about a variant that is not served."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from serve.base.errors import InvalidBundle, UnknownVariant
from serve.rollout.api_records import RolloutRequest, RoutesRequest
from tests.deployments.keepers import Reporting, make_keeper, reporting

REFUSED = "'poor': it was rejected: accuracy 0.50"


def test_a_rejected_candidate_is_refused_with_the_reason(repository: Path, tmp_path: Path) -> None:
    """The start of a rollout to a rejected candidate is refused with the reason."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, tmp_path)
        await keeper.command("start", "linear", RolloutRequest(candidate="poor"), "ann")

    with pytest.raises(UnknownVariant, match=REFUSED):
        asyncio.run(scenario())


def test_a_rejected_variant_in_routes_is_refused_with_the_reason(repository: Path, tmp_path: Path) -> None:
    """Routes with a rejected variant are refused with the reason of the rejection."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, tmp_path)
        await keeper.command("set_routes", "linear", RoutesRequest(weights={"poor": 1}), "ann")

    with pytest.raises(UnknownVariant, match=REFUSED):
        asyncio.run(scenario())


def test_gateways_hear_what_was_rejected(repository: Path, tmp_path: Path) -> None:
    """The catalog for gateways names the rejected variants."""

    async def scenario() -> Mapping[str, str]:
        keeper, _ = await make_keeper(repository, tmp_path)
        gateway = Reporting(keeper, "one")
        await gateway.report()
        return gateway.catalog.models["linear"].rejected

    assert list(asyncio.run(scenario())) == ["poor"]


def test_gateways_hear_what_could_not_be_loaded_and_what_was_unloaded(
    repository: Path, tmp_path: Path
) -> None:
    """The catalog gives the reason of an absent variant until it is served; a rollout to it is refused."""

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
                await keeper.command("start", "linear", RolloutRequest(candidate="light"), "ann")
            hosts.broken.clear()
            await keeper.load("linear", "light")
            await hear()
        return told

    assert asyncio.run(scenario()) == [{"light": "it was unloaded"}, {"light": "its digest is wrong"}, {}]
