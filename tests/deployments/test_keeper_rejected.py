"""A variant that was rejected, and who asks for it all the same."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from serve.control import RolloutWanted, RoutesWanted
from serve.errors import UnknownVariant
from tests.deployments.keepers import Reporting, make_keeper

REFUSED = "'poor': it was rejected: accuracy 0.50"


def test_a_rejected_candidate_is_refused_with_the_reason(repository: Path, tmp_path: Path) -> None:
    """Whoever made it need not look for it in the index."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, tmp_path)
        await keeper.command("start", "linear", RolloutWanted(candidate="poor"), "ann")

    with pytest.raises(UnknownVariant, match=REFUSED):
        asyncio.run(scenario())


def test_a_rejected_variant_in_routes_is_refused_with_the_reason(repository: Path, tmp_path: Path) -> None:
    """In the same words."""

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
