"""Loading, unloading and new versions, while requests come."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Server, running_server
from tests.e2e.graphs import body, fails, make_numbers, times
from tests.e2e.steady import Ask, steady

WHERE = ("apart", "together")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, named after where they are placed, each with two variants."""
    repository = tmp_path_factory.mktemp("repository")
    for model in WHERE:
        make_numbers(repository, "base", times(1), model)
        make_numbers(repository, "light", times(2), model)
    return repository


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    weights = [word for model in WHERE for word in ("--weights", f"{model}:base=50,light=50")]
    placements = ("--placement", "together", "--placement", "apart=apart")
    with running_server(repository, "--gateways", "2", *placements, *weights) as server:
        yield server


@pytest.fixture(params=WHERE)
def model(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def routed(model: str) -> Ask:
    return Ask(f"/v2/models/{model}/infer", body(10))


def answers(server: Server, model: str, variant: str) -> int:
    """What the variant makes of 10."""
    answer = server.post(f"/v2/models/{model}/versions/{variant}/infer", body(10))
    number: int = answer.json["outputs"][0]["data"][0]
    return number


def test_a_new_version_takes_over(server: Server, repository: Path, model: str) -> None:
    """Of a candidate and of the baseline, under the names of the old ones, and no request fails."""
    with steady(server.port, routed(model), rate=50) as load:
        for variant, factor in (("light", 5), ("base", 7)):
            make_numbers(repository, variant, times(factor), model)
            assert server.load(model, variant).status == 200
            assert answers(server, model, variant) == 10 * factor
        load.wait_for(25)
    assert load.failed() == []
    assert load.marked() == []


def test_a_variant_goes_and_comes(server: Server, model: str) -> None:
    """Its share goes to the baseline, which can never be taken away alone, and no request fails."""
    with steady(server.port, routed(model), rate=50) as load:
        assert server.unload(model, "light").status == 200
        gone = time.monotonic()
        assert server.post(f"/v2/models/{model}/versions/light/infer", body(10)).status == 404
        assert server.index()[f"{model}/light"] == ("UNAVAILABLE", "it was unloaded")
        assert server.unload(model, "base").status == 400
        load.wait_for(25)
        back = time.monotonic()
        assert server.load(model, "light").status == 200
        assert server.index()[f"{model}/light"] == ("READY", "")
    assert load.failed() == []
    assert {sample.variant for sample in load.samples if gone < sample.due < back} == {"base"}


def damage(folder: Path) -> None:
    """Its graph is no longer what its manifest says."""
    graph = folder / "model.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_a_bad_version_gets_no_traffic(server: Server, repository: Path, model: str) -> None:
    """One that is not what its manifest says, then one that fails its warm-up: each is refused, the index
    says why, and the old one answers on; a good one after them is loaded."""

    def refused(reason: str) -> None:
        answer = server.load(model, "base")
        assert answer.status == 400
        assert reason in answer.json["error"]
        state, told = server.index()[f"{model}/base"]
        assert state == "READY"
        assert reason in told
        assert answers(server, model, "base") == old

    old = answers(server, model, "base")
    with steady(server.port, routed(model), rate=50) as load:
        make_numbers(repository, "base", times(8), model)
        damage(repository / model / "base")
        refused("has SHA-256")
        make_numbers(repository, "base", fails(0), model)
        refused("failed on a valid input")
        make_numbers(repository, "base", times(9), model)
        assert server.load(model, "base").status == 200
        assert server.index()[f"{model}/base"] == ("READY", "")
        assert answers(server, model, "base") == 90
    assert load.failed() == []
    assert load.marked() == []


def test_a_whole_model_goes_and_comes(server: Server, model: str) -> None:
    """It is not known in between, when requests to it get 404; nothing else fails, and nothing of another."""
    other = WHERE[1 - WHERE.index(model)]
    with (
        steady(server.port, routed(model), rate=50) as load,
        steady(server.port, routed(other), rate=20) as untouched,
    ):
        load.wait_for(25)
        going = time.monotonic()
        assert server.unload(model).status == 200
        gone = time.monotonic()
        load.wait_for(25)
        coming = time.monotonic()
        assert server.load(model).status == 200
        back = time.monotonic()
        load.wait_for(25)
    assert untouched.failed() == []
    assert {sample.status for sample in load.failed()} == {404}
    assert all(going < sample.ended and sample.due < back for sample in load.failed())
    between = [sample for sample in load.samples if gone < sample.due and sample.ended < coming]
    assert {sample.status for sample in between} == {404}


def test_a_new_model_is_loaded_on_demand(server: Server, repository: Path) -> None:
    """What was put into the repository since the start is in the index, and answers once it is loaded."""
    make_numbers(repository, "base", times(9), "late")
    assert server.index()["late/base"] == ("UNAVAILABLE", "it was never loaded")
    assert server.load("late").status == 200
    assert answers(server, "late", "base") == 90
    assert server.unload("late").status == 200
    shutil.rmtree(repository / "late")
