"""A variant goes down when its host fails, and comes up when the host is back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serve.base.errors import Overloaded, VariantUnavailable
from serve.engine.catalog import LoadedVariant
from serve.engine.variant import ServedVariant
from tests.serve.clock import now, run, settle
from tests.serve.host import Host
from tests.serve.queues import queue_of, rows, value_of

VERSION = LoadedVariant(digest="0" * 64, folder="nowhere", host=None, full_rows=8)


@asynccontextmanager
async def served(host: Host, **settings: Any) -> AsyncIterator[ServedVariant]:
    variant = ServedVariant("light", VERSION, host, queue_of(host, **settings))
    try:
        await settle()
        yield variant
    finally:
        await variant.retire()


async def fail_once(variant: ServedVariant) -> None:
    with pytest.raises(VariantUnavailable):
        await variant.infer(rows(1), now() + 60)


def test_a_failed_host_takes_it_down_and_nobody_asks_it() -> None:
    """After a failed run the variant is down, and requests fail without a run."""

    async def scenario() -> tuple[bool, list[int], float]:
        host = Host()
        async with served(host) as variant:
            host.vanish(noticed=False)
            await fail_once(variant)
            down = not variant.up
            with pytest.raises(VariantUnavailable, match="variant 'light' does not answer"):
                await variant.infer(rows(1), now() + 60)
            return down, host.sizes, now()

    assert run(scenario()) == (True, [1], 0.0)


def test_a_host_that_is_seen_to_be_gone_takes_it_down_before_anybody_asks() -> None:
    """A variant whose host is gone goes down before a request is sent; running requests fail with the
    reason."""

    async def scenario() -> tuple[bool, str]:
        host = Host()
        host.leave.clear()
        async with served(host) as variant:
            asked = asyncio.create_task(variant.infer(rows(1), now() + 60))
            await settle()
            host.vanish()
            await settle()
            down = not variant.up
            with pytest.raises(VariantUnavailable) as caught:
                await asked
            return down, str(caught.value)

    down, reason = run(scenario())
    assert down
    assert "'light' is gone" in reason


def test_what_waits_behind_a_lost_host_does_not_wait_for_its_successor() -> None:
    """All requests in the queue of a lost host fail at once."""

    async def scenario() -> tuple[list[bool], float]:
        host = Host()
        host.leave.clear()
        async with served(host) as variant:
            asked = [asyncio.create_task(variant.infer(rows(1), now() + 60)) for _ in range(5)]
            await settle()
            host.vanish(noticed=False)
            host.leave.set()
            errors = await asyncio.gather(*asked, return_exceptions=True)
            return [isinstance(error, VariantUnavailable) for error in errors], now()

    assert run(scenario()) == ([True] * 5, 0.0)


@pytest.mark.parametrize("noticed", [True, False], ids=["seen to be gone", "found out by a request"])
def test_it_comes_up_when_a_probe_is_answered(noticed: bool) -> None:
    """A variant that is down is probed four times a second, and serves again after an answer."""

    async def scenario() -> tuple[bool, bool, float]:
        host = Host()
        async with served(host) as variant:
            host.vanish(noticed=noticed)
            if not noticed:
                await fail_once(variant)
            await asyncio.sleep(10)
            down = not variant.up
            host.come_back()
            await asyncio.sleep(0.3)
            return down, variant.up, value_of(await variant.infer(rows(2), now() + 1))

    assert run(scenario()) == (True, True, 2.0)


def test_it_can_go_down_again() -> None:
    """A variant can go down and come up repeatedly."""

    async def scenario() -> list[bool]:
        host = Host()
        async with served(host) as variant:
            seen = []
            for change in (host.vanish, host.come_back) * 3:
                change()
                await asyncio.sleep(1)
                seen.append(variant.up)
            return seen

    assert run(scenario()) == [False, True] * 3


def test_a_host_that_hangs_is_no_host() -> None:
    """A probe without an answer within two seconds counts as a failure, and probes go on."""

    class Hanging(Host):
        async def ready(self) -> bool:
            if now() < 10:
                await asyncio.sleep(1000)
            return True

    async def scenario() -> tuple[bool, bool, bool]:
        host = Hanging()
        async with served(host) as variant:
            host.error = VariantUnavailable("it hangs")
            await fail_once(variant)
            ready = await variant.ready()
            await asyncio.sleep(6)
            down = not variant.up
            await asyncio.sleep(5)
            return ready, down, variant.up

    assert run(scenario()) == (False, True, True)


def test_who_waits_for_it_hears_when_it_is_back() -> None:
    """A waiting request continues when the variant is up, and not earlier."""

    async def scenario() -> tuple[bool, float]:
        host = Host()
        async with served(host) as variant:
            host.vanish()
            await asyncio.sleep(1)
            waiting = asyncio.create_task(variant.recovered(now() + 60))
            await asyncio.sleep(5)
            host.come_back()
            return await waiting, now()

    back, at_s = run(scenario())
    assert back
    # Probes are a quarter of a second apart.
    assert 6 <= at_s <= 6.25


def test_nobody_waits_for_it_beyond_the_deadline() -> None:
    """`recovered` returns False at the deadline if the variant is still down."""

    async def scenario() -> tuple[bool, float]:
        host = Host()
        async with served(host) as variant:
            host.vanish()
            await asyncio.sleep(1)
            return await variant.recovered(now() + 2), now()

    assert run(scenario()) == (False, 3.0)


def test_no_more_wait_for_it_than_would_wait_in_its_queue() -> None:
    """At most `max_queue_rows` requests wait for a variant that is down; further ones are refused."""

    async def scenario() -> list[bool]:
        host = Host()
        async with served(host, max_queue_rows=2) as variant:
            host.vanish()
            await asyncio.sleep(1)
            waiting = [asyncio.create_task(variant.recovered(now() + 60)) for _ in range(2)]
            await settle()
            with pytest.raises(Overloaded, match="'light' is down and 2 requests wait for it"):
                variant.refuse_if_full()
            with pytest.raises(Overloaded):
                await variant.recovered(now() + 60)
            host.come_back()
            came = await asyncio.gather(*waiting)
            variant.refuse_if_full()
            return came

    assert run(scenario()) == [True, True]


def test_it_retires_once_what_it_took_is_answered() -> None:
    """A variant retires after its last answer; then its placement is closed and no task remains."""

    async def scenario() -> tuple[bool, float, bool]:
        host = Host(run_s=2)
        async with served(host) as variant:
            asked = asyncio.create_task(variant.infer(rows(4), now() + 60))
            await settle()
            await variant.retire()
            await settle()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            return host.closed, value_of(await asked), others <= {asked}

    assert run(scenario()) == (True, 4.0, True)


def test_who_waits_for_one_that_retires_waits_no_longer() -> None:
    """A request that waits for a retired variant continues at once."""

    async def scenario() -> tuple[bool, float]:
        host = Host()
        async with served(host) as variant:
            host.vanish()
            await asyncio.sleep(1)
            waiting = asyncio.create_task(variant.recovered(now() + 60))
            await settle()
            await variant.retire()
            return await waiting, now()

    assert run(scenario()) == (True, 1.0)


def test_one_that_has_retired_answers_nobody() -> None:
    """A retired variant refuses requests, and its placement is not used."""

    async def scenario() -> list[int]:
        host = Host()
        async with served(host) as variant:
            await variant.retire()
            with pytest.raises(VariantUnavailable, match="'light' was unloaded meanwhile; try again"):
                await variant.infer(rows(1), now() + 1)
            return host.sizes

    assert run(scenario()) == []
