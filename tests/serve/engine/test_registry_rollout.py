"""What a change of routes does to a gateway, and what the gateway reports of its requests."""

from pathlib import Path
from typing import Any

import pytest

from serve.base.routing import Routes
from serve.counting.journal import Journal, read_accounts
from serve.counting.rollout_counter import Watch
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant
from tests.conftest import SIGNATURE
from tests.serve.gateway import Gateway, run

WATCH = Watch(rollout="r1", baseline="base", candidate="light", limit_ms=None, feedback=False)


@pytest.fixture
def gateway(module_repository: Path) -> Gateway:
    return Gateway(module_repository / "linear" / "base")


def catalog(revision: int, folder: str, watch: Watch | None = WATCH, *models: str) -> Catalog:
    """Models whose traffic all goes to `light`, by routes of this revision."""
    variants = {
        name: LoadedVariant(digest=f"{number:064x}", folder=folder, host=name, full_rows=8)
        for number, name in enumerate(("base", "light"), 1)
    }
    loaded = {
        name: LoadedModel(
            name=name,
            signature=SIGNATURE,
            task="classification",
            routes=Routes(model=name, baseline="base", weights={"base": 0, "light": 1}, revision=revision),
            watch=watch,
            variants=variants,
        )
        for name in models or ("linear",)
    }
    return Catalog(revision=revision, models=loaded)


def test_a_change_of_routes_reads_nothing(gateway: Gateway, module_repository: Path) -> None:
    """A change of routes does not read the bundle's folder."""
    folder = str(module_repository / "linear" / "base")

    async def scenario() -> tuple[int, int, bool]:
        await gateway.registry.apply(catalog(1, folder))
        before, host = gateway.model, gateway.hosts["light", 2]
        moved = catalog(2, folder)
        (module_repository / "linear").rename(module_repository / "away")
        try:
            assert await gateway.registry.apply(moved) == {}
        finally:
            (module_repository / "away").rename(module_repository / "linear")
        assert not host.closed
        return gateway.model.routes.revision, len(gateway.hosts), gateway.model is before

    assert run(gateway, scenario()) == (2, 2, True)


def test_what_was_counted_survives_a_change_of_routes(gateway: Gateway, module_repository: Path) -> None:
    """Requests under two revisions of the routes are in one delta, each with its revision."""
    folder = str(module_repository / "linear" / "base")

    async def scenario() -> Any:
        for revision in (1, 2):
            watch = WATCH.model_copy(update={"limit_ms": 5.0 * revision})
            await gateway.registry.apply(catalog(revision, folder, watch))
            await gateway.ask()
        return {
            choice: count.requests for choice, count in gateway.registry.deltas()["linear"].counts.items()
        }

    assert run(gateway, scenario()) == {(1, False, "light"): 1, (2, False, "light"): 1}


def test_a_sheet_comes_again_until_it_is_acknowledged(gateway: Gateway, module_repository: Path) -> None:
    """A delta is repeated until it is acknowledged; an acknowledgement for an unknown model is ignored."""
    folder = str(module_repository / "linear" / "base")

    async def scenario() -> Any:
        await gateway.registry.apply(catalog(1, folder))
        await gateway.ask()
        registry = gateway.registry
        numbers = [registry.deltas()["linear"].number for _ in range(2)]
        registry.acknowledge({"lookup": 7, "linear": 1})
        return numbers, registry.deltas()

    assert run(gateway, scenario()) == ([1, 1], {})


def test_nothing_is_told_when_nobody_watches(gateway: Gateway, module_repository: Path) -> None:
    """After the rollout's end no delta is reported."""
    folder = str(module_repository / "linear" / "base")

    async def scenario() -> Any:
        await gateway.registry.apply(catalog(1, folder))
        await gateway.ask()
        await gateway.registry.apply(catalog(2, folder, None))
        gateway.registry.acknowledge({"linear": 1})
        return gateway.registry.deltas()

    assert run(gateway, scenario()) == {}


def test_each_model_has_a_sheet_of_its_own(gateway: Gateway, module_repository: Path) -> None:
    """With two rollouts at once, only the model that got requests has a delta."""
    folder = str(module_repository / "linear" / "base")

    async def scenario() -> Any:
        await gateway.registry.apply(catalog(1, folder, WATCH, "linear", "second"))
        await gateway.ask()
        return list(gateway.registry.deltas())

    assert run(gateway, scenario()) == ["linear"]


def test_what_is_counted_outlives_a_gateway(module_repository: Path, tmp_path: Path) -> None:
    """The counts are in the gateway's journal as long as the rollout runs."""
    folder = str(module_repository / "linear" / "base")
    gateway = Gateway(module_repository / "linear" / "base", journal=Journal(tmp_path, "one"))

    async def scenario() -> Any:
        await gateway.registry.apply(catalog(1, folder))
        await gateway.ask()
        [account] = read_accounts(tmp_path, "one")
        await gateway.registry.apply(catalog(2, folder, None))
        return account, read_accounts(tmp_path, "one")

    account, after = run(gateway, scenario())
    [line] = account.deltas[1]
    assert (account.model, account.rollout, account.candidate) == ("linear", "r1", "light")
    assert (line.choice, line.numbers[0], line.in_flight) == ((1, False, "light"), 1, 0)
    assert after == []
