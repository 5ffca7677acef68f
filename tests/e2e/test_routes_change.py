"""Other routes while requests come: every gateway soon answers by them, and nobody else notices."""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from statistics import median

import psutil
import pytest

from serve.control import RoutesWanted
from serve.remote.client import Client
from tests.e2e.conftest import ROOT, Server, running_server, wait_until
from tests.e2e.graphs import MODEL, body, make_numbers, times
from tests.e2e.steady import Ask, Steady, steady

ASK = Ask(f"/v2/models/{MODEL}/infer", body(3))
# So many connections, dealt to two gateways, that neither is left out.
THREADS = 16
RATE = 100
CHANGES = 6
RESCUED = {"rescued_from": "light"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two gateways, and two variants in processes of their own."""
    repository = tmp_path_factory.mktemp("repository")
    make_numbers(repository, "base", times(1))
    make_numbers(repository, "light", times(2))
    with running_server(repository, "--gateways", "2") as server:
        yield server


def give_all_to(server: Server, variant: str) -> None:
    """Other routes, as `counterweight routes --set` asks for them."""
    wanted = RoutesWanted(weights={name: float(name == variant) for name in ("base", "light")})
    Client(server.url).set_routes(MODEL, wanted)


def weights(server: Server) -> dict[str, float]:
    """As one of the gateways has them."""
    found: dict[str, float] = Client(server.url).model(MODEL)["routes"]["weights"]
    return found


def others(load: Steady, variant: str, since: float) -> list[float]:
    """When requests were asked after that moment which another variant answered."""
    return [sample.due for sample in load.samples if sample.due > since and sample.variant != variant]


def settled(load: Steady, variant: str) -> bool:
    """Whether this variant alone has answered for a second."""
    return {sample.variant for sample in load.samples[-RATE:]} == {variant}


def processes(server: Server) -> set[psutil.Process]:
    return {*server.replicas(MODEL), *server.replicas("counterweight:")}


def test_every_gateway_follows_within_a_second(server: Server) -> None:
    """All traffic goes from one variant to the other and back, three times: the last request that is answered
    by the old routes is asked less than a second after the change; none fails, and no process is replaced.

    A gateway asks the keeper twice a second, so half a second is the rule; a machine that is busy with
    something else may stand still at one of the six."""
    before = processes(server)
    took_s = []
    with steady(server.port, ASK, rate=RATE, threads=THREADS) as load:
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
    assert median(took_s) < 1
    assert max(took_s) < 5
    assert processes(server) == before


def test_the_command_changes_routes(server: Server) -> None:
    """`counterweight routes --set`: every gateway follows."""
    command = [sys.executable, "-m", "counterweight", "routes", MODEL, "--url", server.url]
    subprocess.run([*command, "--set", "base=50,light=50"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    # In a row, from either of the two.
    wait_until(lambda: [weights(server) for _ in range(THREADS)] == [{"base": 50.0, "light": 50.0}] * THREADS)


def test_the_baseline_takes_over_from_one_that_crashes(server: Server) -> None:
    """Its half of the requests is answered by the baseline from the first one on, before anything is judged;
    none fails, and the routes stay as they are."""
    before = weights(server)
    [replica] = server.replicas(f"{MODEL}.light.")
    with steady(server.port, ASK, rate=RATE, threads=THREADS) as load:
        load.wait_for(RATE)
        killed = time.monotonic()
        replica.kill()
        load.wait_for(RATE)
    rescued = load.marked()
    print(f"{len(rescued)} rescued, the slowest in {max(sample.took_s for sample in rescued):.2f} s")
    assert load.failed() == []
    assert rescued
    assert all(sample.variant == "base" and sample.parameters == RESCUED for sample in rescued)
    assert min(sample.due for sample in rescued) - killed < 1
    assert weights(server) == before
