"""What a gateway serves while its catalog changes."""

import asyncio
import json
from pathlib import Path

import pytest

from serve.base.tensor import Signature, TensorSpec
from serve.bundles.bundle import LABELS, MODEL, describe_file, write_bundle
from serve.counting.tally import Tally, VariantLoad
from serve.engine.shapes import Shape
from tests.conftest import FEATURES, SIGNATURE, linear_graph, make_bundle
from tests.serve.clock import settle
from tests.serve.gateway import Gateway, run
from tests.serve.served_model import as_is, request_of, scale_of
from tests.serve.texts import SIGNATURE as TEXT_SIGNATURE
from tests.serve.texts import make_text_bundle


@pytest.fixture
def gateway(module_repository: Path) -> Gateway:
    return Gateway(module_repository / "linear" / "base")


def test_serves_what_the_catalog_says(gateway: Gateway) -> None:
    """The gateway serves each variant of the catalog, with its routes."""

    async def scenario() -> tuple[dict[str, str], int, list[str], float]:
        failures = await gateway.apply(7, base=1, light=2)
        model = gateway.model
        return failures, gateway.registry.revision, model.variants, await gateway.ask("light")

    assert run(gateway, scenario()) == ({}, 7, ["base", "light"], 2.0)


def test_a_new_version_takes_over_and_loses_nothing_that_runs(gateway: Gateway) -> None:
    """The old version answers its running requests while the new version answers new ones."""

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
    """A variant that did not change keeps its placement when another variant changes."""

    async def scenario() -> tuple[bool, bool]:
        await gateway.apply(1, base=1, light=2)
        before = gateway.model.served["base"]
        await gateway.apply(2, base=1, light=3)
        model = gateway.model
        return model.served["base"] is before, gateway.hosts["base", 1].closed

    assert run(gateway, scenario()) == (True, False)


def test_routes_change_alone(gateway: Gateway) -> None:
    """A change of routes alone makes no new host."""

    async def scenario() -> tuple[int, float, int]:
        await gateway.apply(1, base=1, light=2)
        await gateway.apply(2, base=1, light=2, weight=3)
        routes = gateway.model.routes
        return routes.revision, routes.share("light"), len(gateway.hosts)

    assert run(gateway, scenario()) == (2, 0.75, 2)


def test_other_routes_wait_for_nothing_that_is_loaded(gateway: Gateway) -> None:
    """New routes are in force at once while a version is loading, and older ones never replace them."""

    async def scenario() -> tuple[int, int, float]:
        await gateway.apply(1, base=1, light=2, weight=1)
        gateway.loads.clear()
        loading = asyncio.create_task(gateway.apply(2, base=1, light=3, weight=1))
        await settle()
        gateway.registry.route(gateway.catalog(3, base=1, light=3))
        during = gateway.model.routes.revision
        gateway.loads.set()
        await loading
        return during, gateway.model.routes.revision, await gateway.ask("light")

    assert run(gateway, scenario()) == (3, 3, 3.0)


def test_other_routes_wait_for_nothing_that_is_let_go(gateway: Gateway) -> None:
    """New routes are in force at once while an old version still answers its requests."""

    async def scenario() -> tuple[int, bool]:
        await gateway.apply(1, base=1, light=2, weight=1)
        old = gateway.hosts["light", 2]
        old.leave.clear()
        running = asyncio.create_task(gateway.ask("light"))
        await settle()
        changing = asyncio.create_task(gateway.apply(2, base=1, light=3, weight=1))
        while gateway.registry.revision < 2:
            await asyncio.sleep(0.001)
        gateway.registry.route(gateway.catalog(3, base=1, light=3))
        during = gateway.model.routes.revision, not changing.done()
        old.leave.set()
        await asyncio.gather(changing, running)
        return during

    assert run(gateway, scenario()) == (3, True)


def test_an_unloaded_model_is_gone_once_it_has_answered(gateway: Gateway) -> None:
    """An unloaded model is not found any more, and its host closes after the last answer."""

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
    """After a variant is unloaded, the remaining one answers its traffic."""

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
    """A new signature makes a new model, and the counts continue."""
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
    """A new version of the baseline keeps the model object, and answers a request that was admitted
    before."""

    async def scenario() -> tuple[bool, float]:
        await gateway.apply(1, base=1)
        before = gateway.model
        ticket = before.admit(pinned=None, key=None, timeout_s=None)
        await gateway.apply(2, base=2)
        return gateway.model is before, scale_of(await before.answer(request_of(), ticket, as_is))

    assert run(gateway, scenario()) == (True, 2.0)


def test_a_tokenizer_makes_the_model_take_texts(tmp_path: Path) -> None:
    """A tokenizer gives the model a form with texts, beside the one with tokens."""
    make_text_bundle(tmp_path, "base")
    gateway = Gateway(tmp_path / "words" / "base", TEXT_SIGNATURE)

    async def scenario() -> tuple[list[str], bool]:
        await gateway.apply(1, base=1)
        model = gateway.model
        await gateway.apply(2, base=2)
        return [form.inputs[0].name for form in model.forms], gateway.model is model

    assert run(gateway, scenario()) == (["text", "input_ids"], True)


def test_counts_are_those_of_all_gateways_together(gateway: Gateway) -> None:
    """The counts are the sum of this gateway's and the last reported ones of the others."""

    async def scenario() -> tuple[int, int, int]:
        await gateway.apply(1, base=1)
        await gateway.ask()
        await settle()
        theirs = Tally()
        theirs.requests = 10
        others = {("linear", "base"): VariantLoad(tally=theirs, in_flight=3, waiting_rows=2)}
        gateway.registry.others = others
        both = gateway.registry.counted()["linear", "base"]
        return both.tally.requests, both.in_flight, gateway.registry.loads()["linear", "base"].tally.requests

    assert run(gateway, scenario()) == (11, 3, 1)


def test_the_baseline_brings_the_names_of_classes(tmp_path: Path) -> None:
    """The class names are those of the baseline's bundle, and a new version's names replace them."""

    def write(*labels: str) -> None:
        contents = {MODEL: linear_graph(1.0), LABELS: json.dumps(labels).encode()}
        files = tuple(describe_file(path, content) for path, content in contents.items())
        bundle = make_bundle(tmp_path, "base").model_copy(update={"files": files})
        write_bundle(tmp_path / "linear" / "base", bundle, contents)

    write("a", "b", "c")
    gateway = Gateway(tmp_path / "linear" / "base")

    async def scenario() -> tuple[tuple[str, ...], tuple[str, ...]]:
        await gateway.apply(1, base=1)
        model = gateway.model
        before = model.labels
        write("x", "y", "z")
        await gateway.apply(2, base=2)
        assert model.shadows.classes == model.labels
        return before, model.labels

    assert run(gateway, scenario()) == (("a", "b", "c"), ("x", "y", "z"))


def test_the_shapes_of_the_baselines_runs_are_told(gateway: Gateway) -> None:
    """The gateway reports the shapes of the baseline's runs only, by model."""

    async def scenario() -> dict[str, tuple[Shape, ...]]:
        await gateway.apply(1, base=1, light=2)
        before = gateway.registry.shapes()
        assert before == {"linear": ()}
        await gateway.ask("base")
        await gateway.ask("light")
        return gateway.registry.shapes()

    assert run(gateway, scenario()) == {"linear": (((1, FEATURES),),)}
