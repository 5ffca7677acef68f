"""A server under load: its processes are killed, its models are loaded and unloaded, its routes change."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import psutil
import pytest

from serve.control import operations
from serve.control.cli.control_client import ControlClient
from serve.control.operations import SET_ROUTES
from serve.rollout.api_records import RoutesRequest
from tests.e2e.graphs import body, fails, make_numbers, times
from tests.e2e.server import ROOT, Server, running_server, wait_until
from tests.e2e.steady_load import Ask, Steady, steady

WHERE = ("apart", "together")
# There are enough connections that each of the two gateways gets some.
THREADS = 16
RATE = 100
CHANGES = 6
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
RESCUED, RETRIED = {"rescued_from": "light"}, {"retried": True}


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
    """Two gateways; the variants of a model share its traffic."""
    placements = ("--placement", "together", "--placement", "apart=apart")
    weights = [word for model in WHERE for word in ("--weights", f"{model}:base=50,light=50")]
    # The server turns no request away because the machine is busy.
    patience = ("--set", "max_queue_wait_s=30", "--set", "run_timeout_s=30")
    with running_server(repository, "--gateways", "2", *placements, *weights, *patience) as server:
        yield server


@pytest.fixture(params=WHERE)
def model(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def infer(model: str, variant: str | None = None) -> Ask:
    version = "" if variant is None else f"/versions/{variant}"
    return Ask(f"/v2/models/{model}{version}/infer", body(10))


def answer(server: Server, model: str, variant: str) -> int:
    """Return the variant's answer to 10."""
    ask = infer(model, variant)
    number: int = server.post(ask.path, ask.body).json["outputs"][0]["data"][0]
    return number


def variants(load: Steady, since: float) -> set[str | None]:
    """Return the variants that answered requests due after that moment."""
    return {sample.variant for sample in load.samples if sample.due > since}


def kill(server: Server, title: str) -> None:
    """kill -9 of the only replica of that title; return when another has taken its place."""
    [replica] = server.replicas(title)
    replica.send_signal(signal.SIGKILL)
    psutil.wait_procs([replica], timeout=120)
    wait_until(lambda: len(server.replicas(title)) == 1)


def test_the_baseline_answers_for_a_killed_candidate(server: Server) -> None:
    """After a candidate is killed no request fails: the baseline answers its routed requests, and pinned ones
    wait for it. Another model and the routes are not affected. Requests of the first half of the outage are
    answered before it ends."""
    with (
        steady(server.port, infer("apart"), rate=100, threads=8) as routed,
        steady(server.port, infer("apart", "light"), rate=20) as pinned,
        steady(server.port, infer("together"), rate=20) as other,
    ):
        routed.wait_for(100)
        before, killed = weights(server), time.monotonic()
        kill(server, "apart.light.")
        assert weights(server) == before
        wait_until(lambda: server.ready("/v2/models/apart/versions/light"))
        back = time.monotonic()
        routed.wait_for(200)
    assert [*routed.failed(), *pinned.failed(), *other.failed()] == []
    rescued, retried = routed.marked(), pinned.marked()
    assert rescued
    assert all(sample.variant == "base" and sample.parameters == RESCUED for sample in rescued)
    early = [sample for sample in rescued if sample.due < (killed + back) / 2]
    assert early
    assert all(sample.due + sample.took_s < back for sample in early)
    assert retried
    assert all(sample.variant == "light" and sample.parameters == RETRIED for sample in retried)
    assert other.marked() == []
    assert all(sample.due < back + 1 for sample in [*rescued, *retried])
    assert variants(routed, back) == {"base", "light"}


def test_requests_wait_for_a_killed_baseline(server: Server) -> None:
    """After the baseline is killed no request fails: those for the baseline wait until it is back, and their
    answers are marked."""
    with steady(server.port, infer("apart"), rate=50, threads=32) as load:
        load.wait_for(25)
        kill(server, "apart.base.")
        wait_until(lambda: server.ready("/v2/models/apart/versions/base"))
        back = time.monotonic()
        load.wait_for(100)
    assert load.failed() == []
    assert load.marked()
    assert all(sample.variant == "base" and sample.parameters == RETRIED for sample in load.marked())
    assert variants(load, back) == {"base", "light"}


def connections(server: Server, gateway: psutil.Process, status: str) -> int:
    """How many of the gateway's ends of TCP connections on the port of HTTP are in that state."""
    return sum(
        end.laddr.port == server.port and end.status == status for end in gateway.net_connections("tcp")
    )


def test_a_killed_gateway_takes_along_only_what_was_on_its_connections(server: Server) -> None:
    """When a gateway is killed, at most one request of each of its connections fails, and the gateway comes
    back. The fuller of two gateways has at least four of eight connections."""
    title = "counterweight:gateway"
    with steady(server.port, infer("apart"), rate=80, threads=8) as load:
        load.wait_for(80)
        held = {each: connections(server, each, "ESTABLISHED") for each in server.replicas(title)}
        fuller = max(held, key=lambda gateway: held[gateway])
        assert held[fuller] >= 4
        fuller.send_signal(signal.SIGKILL)
        load.wait_for(160)
        wait_until(lambda: sum(connections(server, each, "LISTEN") for each in server.replicas(title)) == 2)
        back = time.monotonic()
        load.wait_for(80)
    assert len(load.failed()) <= held[fuller]
    assert all(sample.due < back for sample in load.failed())


def test_nobody_misses_a_killed_keeper(server: Server) -> None:
    """After the keeper is killed no request fails, and the new keeper has the loaded models."""
    with steady(server.port, infer("apart"), rate=50) as load:
        load.wait_for(25)
        kill(server, "counterweight:keeper")
        wait_until(lambda: server.post("/v2/repository/index", {}).status == 200)
        assert {state for state, _ in server.index().values()} == {"READY"}
        assert server.load("together").status == 200
        load.wait_for(25)
    assert load.failed() == []
    assert load.marked() == []


def test_nothing_is_open_to_other_machines(server: Server) -> None:
    """Every socket of every process, Ray's own among them, is on the loopback interface."""
    ends = [end for process in server.tree() for end in process.net_connections("inet")]
    assert len([end for end in ends if end.status == "LISTEN"]) > 10
    assert {end.laddr.ip for end in ends} <= LOOPBACK


def test_a_new_version_takes_over(server: Server, repository: Path, model: str) -> None:
    """A new version of the candidate or the baseline replaces the old one without a failed request."""
    with steady(server.port, infer(model), rate=50) as load:
        for variant, factor in (("light", 5), ("base", 7)):
            make_numbers(repository, variant, times(factor), model)
            assert server.load(model, variant).status == 200
            assert answer(server, model, variant) == 10 * factor
        load.wait_for(25)
    assert load.failed() == []
    assert load.marked() == []


def test_a_variant_goes_and_comes(server: Server, model: str) -> None:
    """A variant is unloaded and loaded again without a failed request; the baseline alone cannot be
    unloaded."""
    with steady(server.port, infer(model), rate=50) as load:
        assert server.unload(model, "light").status == 200
        gone = time.monotonic()
        assert server.post(infer(model, "light").path, body(10)).status == 404
        assert server.index()[f"{model}/light"] == ("UNAVAILABLE", "it was unloaded")
        assert server.unload(model, "base").status == 400
        load.wait_for(25)
        back = time.monotonic()
        assert server.load(model, "light").status == 200
        assert server.index()[f"{model}/light"] == ("READY", "")
    assert load.failed() == []
    assert {sample.variant for sample in load.samples if gone < sample.due < back} == {"base"}


def test_a_bad_version_gets_no_traffic(server: Server, repository: Path, model: str) -> None:
    """A version that does not fit its manifest or fails its warm-up is refused with the reason in the index,
    and the old one answers; a good one is loaded."""

    def refused(reason: str) -> None:
        refusal = server.load(model, "base")
        assert refusal.status == 400
        assert reason in refusal.json["error"]
        state, told = server.index()[f"{model}/base"]
        assert state == "READY"
        assert reason in told
        assert answer(server, model, "base") == old

    old = answer(server, model, "base")
    with steady(server.port, infer(model), rate=50) as load:
        make_numbers(repository, "base", times(8), model)
        graph = repository / model / "base" / "model.onnx"
        graph.write_bytes(graph.read_bytes()[:-1] + b"?")
        refused("has SHA-256")
        make_numbers(repository, "base", fails(0), model)
        refused("failed on a valid input")
        make_numbers(repository, "base", times(9), model)
        assert server.load(model, "base").status == 200
        assert server.index()[f"{model}/base"] == ("READY", "")
        assert answer(server, model, "base") == 90
    assert load.failed() == []
    assert load.marked() == []


def test_a_whole_model_goes_and_comes(server: Server, model: str) -> None:
    """While a model is unloaded its requests get 404; no other request fails."""
    other = WHERE[1 - WHERE.index(model)]
    with (
        steady(server.port, infer(model), rate=50) as load,
        steady(server.port, infer(other), rate=20) as untouched,
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
    assert all(sample.status == 404 for sample in load.failed())
    assert all(going < sample.ended and sample.due < back for sample in load.failed())
    between = [sample.status for sample in load.samples if gone < sample.due and sample.ended < coming]
    assert set(between) == {404}


def test_a_new_model_is_loaded_on_demand(server: Server, repository: Path) -> None:
    """A model that was added to the repository is in the index and answers after it is loaded."""
    make_numbers(repository, "base", times(9), "late")
    assert server.index()["late/base"] == ("UNAVAILABLE", "it was never loaded")
    assert server.load("late").status == 200
    assert answer(server, "late", "base") == 90
    assert server.unload("late").status == 200
    shutil.rmtree(repository / "late")


def give_all_to(server: Server, variant: str) -> None:
    """Set routes as `counterweight routes --set` does."""
    wanted = RoutesRequest(weights={name: float(name == variant) for name in ("base", "light")})
    ControlClient(server.url).ask(SET_ROUTES, "apart", body=wanted)


def weights(server: Server) -> dict[str, float]:
    """Return the weights that one of the gateways has."""
    found: dict[str, float] = ControlClient(server.url).ask(operations.MODEL, "apart")["routes"]["weights"]
    return found


def others(load: Steady, variant: str, since: float) -> list[float]:
    """Return the times of requests after that moment that another variant answered."""
    return [sample.due for sample in load.samples if sample.due > since and sample.variant != variant]


def settled(load: Steady, variant: str) -> bool:
    """Return whether only this variant has answered for a second."""
    return {sample.variant for sample in load.samples[-RATE:]} == {variant}


def processes(server: Server) -> set[psutil.Process]:
    return {*server.replicas("apart."), *server.replicas("counterweight:")}


def test_every_gateway_follows(server: Server) -> None:
    """Six changes of all traffic reach both gateways without a failed request or a replaced process. A
    gateway asks the keeper twice a second, so a change takes half a second as a rule; the time is printed."""
    before = processes(server)
    took_s = []
    with steady(server.port, infer("apart"), rate=RATE, threads=THREADS) as load:
        load.wait_for(RATE)
        for number in range(CHANGES):
            variant = ("light", "base")[number % 2]
            changed = time.monotonic()
            give_all_to(server, variant)
            wait_until(partial(settled, load, variant))
            took_s.append(max(others(load, variant, changed), default=changed) - changed)
    print(f"from change to effect: median {median(took_s):.2f} s, worst {max(took_s):.2f} s")
    assert load.failed() == []
    assert load.marked() == []
    assert processes(server) == before


def test_the_command_changes_routes(server: Server) -> None:
    """`counterweight routes --set` changes the weights of every gateway."""
    command = [sys.executable, "-m", "counterweight", "routes", "apart", "--url", server.url]
    subprocess.run([*command, "--set", "base=70,light=30"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    # All answers in a row agree, whichever of the two gateways gave them.
    wait_until(lambda: [weights(server) for _ in range(THREADS)] == [{"base": 70.0, "light": 30.0}] * THREADS)
