"""What gateways report to one another by the keeper, and gateways that have stopped reporting."""

import asyncio
from pathlib import Path

import pytest

from tests.deployments.keepers import Reporting, make_keeper


def test_each_gateway_hears_what_the_others_counted(repository: Path, tmp_path: Path) -> None:
    """A gateway gets the sums of the other gateways, without its own counts."""

    async def scenario() -> tuple[int, int]:
        keeper, _ = await make_keeper(repository, tmp_path)
        one, two, three = (Reporting(keeper, name) for name in ("one", "two", "three"))
        one.tally.requests, two.tally.requests, three.tally.requests = 1, 10, 100
        two.in_flight = 5
        for gateway in (one, two, three):
            await gateway.report()
        others = await one.others()
        return others.tally.requests, others.in_flight

    assert asyncio.run(scenario()) == (110, 5)


@pytest.mark.usefixtures("silence")
def test_what_a_gateway_counted_outlives_it(repository: Path, tmp_path: Path) -> None:
    """The counts of a gateway that is gone stay, and its requests in flight do not."""

    async def scenario() -> tuple[int, int]:
        keeper, _ = await make_keeper(repository, tmp_path)
        one, gone = Reporting(keeper, "one"), Reporting(keeper, "gone")
        gone.tally.requests, gone.in_flight = 10, 3
        await gone.report()
        await asyncio.sleep(0.1)
        others = await one.others()
        return others.tally.requests, others.in_flight

    assert asyncio.run(scenario()) == (10, 0)


@pytest.mark.usefixtures("silence")
def test_a_gateway_that_was_silent_is_not_counted_twice(repository: Path, tmp_path: Path) -> None:
    """A gateway that was silent and reports again is counted once."""

    async def scenario() -> int:
        keeper, _ = await make_keeper(repository, tmp_path)
        one, silent = Reporting(keeper, "one"), Reporting(keeper, "silent")
        silent.tally.requests = 10
        await silent.report()
        await asyncio.sleep(0.1)
        await one.report()
        silent.tally.requests = 12
        await silent.report()
        return (await one.others()).tally.requests

    assert asyncio.run(scenario()) == 12


@pytest.mark.usefixtures("silence")
def test_a_gateway_that_is_gone_holds_up_nothing(repository: Path, tmp_path: Path) -> None:
    """An unload does not wait for a gateway that is gone."""

    async def scenario() -> None:
        keeper, _ = await make_keeper(repository, tmp_path)
        await Reporting(keeper, "gone").report()
        await asyncio.wait_for(keeper.unload("linear", None), 60)

    asyncio.run(scenario())
