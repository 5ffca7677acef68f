"""kill -9 of any replica of a server under load."""

import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.e2e.conftest import Server, running_server, wait_until
from tests.e2e.graphs import MODEL, body, make_numbers, times
from tests.e2e.steady import Ask, Steady, steady

PATH = f"/v2/models/{MODEL}"
ROUTED = Ask(f"{PATH}/infer", body(3))
PINNED = Ask(f"{PATH}/versions/light/infer", body(3))
OTHER = Ask("/v2/models/other/infer", body(3))
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two gateways; a model with two variants that share its traffic, and another model."""
    repository = tmp_path_factory.mktemp("repository")
    make_numbers(repository, "base", times(1))
    make_numbers(repository, "light", times(2))
    make_numbers(repository, "base", times(1), model="other")
    with running_server(repository, "--gateways", "2", "--weights", f"{MODEL}:base=50,light=50") as server:
        yield server


def kill(server: Server, variant: str) -> float:
    """kill -9 of the variant's replica, while the server is asked, until another has taken its place; when it
    was, on the clock of time.monotonic."""
    [replica] = server.replicas(f"{MODEL}.{variant}.")
    replica.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    psutil.wait_procs([replica], timeout=10)
    wait_until(lambda: server.ready(f"{PATH}/versions/{variant}"))
    assert server.replicas(f"{MODEL}.{variant}.") != [replica]
    return killed


def variants(load: Steady, since: float) -> set[str | None]:
    """Who has answered what began after that moment."""
    return {sample.variant for sample in load.samples if sample.due > since}


def test_the_baseline_answers_for_a_killed_candidate(server: Server) -> None:
    """No request fails. What the routes gave to the candidate, the baseline answers, and says for whom; who
    asked for the candidate itself waits for it; another model is not touched; then all is as it was.

    A rescued request waits for nobody: Ray alone needs the 2 s between two of its looks to miss a replica."""
    with (
        steady(server.port, ROUTED, rate=100, threads=8) as routed,
        steady(server.port, PINNED, rate=20) as pinned,
        steady(server.port, OTHER, rate=20) as other,
    ):
        routed.wait_for(100)
        killed = kill(server, "light")
        back = time.monotonic()
        routed.wait_for(200)
    assert [*routed.failed(), *pinned.failed(), *other.failed()] == []
    assert {str(sample.parameters) for sample in routed.marked()} == {"{'rescued_from': 'light'}"}
    assert {sample.variant for sample in routed.marked()} == {"base"}
    assert max(sample.took_s for sample in routed.marked()) < 2
    assert {str(sample.parameters) for sample in pinned.marked()} == {"{'retried': True}"}
    assert {sample.variant for sample in pinned.samples} == {"light"}
    assert other.marked() == []
    assert all(killed - 1 < sample.ended < back + 5 for sample in [*routed.marked(), *pinned.marked()])
    assert variants(routed, back) == {"base", "light"}


def test_requests_wait_for_a_killed_baseline(server: Server) -> None:
    """No request fails: those that only the baseline may answer are held until it is back, and say so."""
    with steady(server.port, ROUTED, rate=50, threads=32) as routed:
        routed.wait_for(50)
        kill(server, "base")
        back = time.monotonic()
        routed.wait_for(100)
    assert routed.failed() == []
    assert {str(sample.parameters) for sample in routed.marked()} == {"{'retried': True}"}
    assert {sample.variant for sample in routed.marked()} == {"base"}
    assert variants(routed, back) == {"base", "light"}


def test_a_killed_gateway_takes_along_only_what_was_on_its_connections(server: Server) -> None:
    """At most one request of each connection that it held fails, the other one answers from then on, and it
    comes back. Of eight connections, each dealt to one of two, the fuller gateway has at least four."""

    def held(gateway: psutil.Process) -> int:
        connections = gateway.net_connections("tcp")
        return sum(end.laddr.port == server.port and end.status == "ESTABLISHED" for end in connections)

    with steady(server.port, ROUTED, rate=80, threads=8) as load:
        load.wait_for(80)
        fuller = max(server.replicas("counterweight:gateway"), key=held)
        lost = held(fuller)
        assert lost >= 4
        fuller.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        load.wait_for(160)
        wait_until(lambda: len(listening(server)) == 2)
        load.wait_for(80)
    failed = load.failed()
    assert len(failed) <= lost
    assert all(sample.due < killed + 1 for sample in failed)


def listening(server: Server) -> list[psutil.Process]:
    """The gateways that take connections now."""
    return [
        gateway
        for gateway in server.replicas("counterweight:gateway")
        if any(
            end.laddr.port == server.port and end.status == "LISTEN" for end in gateway.net_connections("tcp")
        )
    ]


def test_nobody_misses_a_killed_keeper(server: Server) -> None:
    """No request fails while it is away; when it is back it knows what is loaded, and can change it."""
    [keeper] = server.replicas("counterweight:keeper")
    with steady(server.port, ROUTED, rate=50) as load:
        load.wait_for(25)
        keeper.send_signal(signal.SIGKILL)
        wait_until(lambda: server.post("/v2/repository/index", {}).status == 200)
        assert server.replicas("counterweight:keeper") != [keeper]
        assert {state for state, _ in server.index().values()} == {"READY"}
        assert server.unload("other").status == 200
        load.wait_for(25)
    assert load.failed() == []
    assert load.marked() == []
    assert server.post(OTHER.path, OTHER.body).status == 404


def test_nothing_is_open_to_other_machines(server: Server) -> None:
    """Every socket of every process, Ray's own among them, is on the loopback interface."""
    ends = [end for process in server.tree() for end in process.net_connections("inet")]
    assert len([end for end in ends if end.status == "LISTEN"]) > 10
    assert {end.laddr.ip for end in ends} <= LOOPBACK
