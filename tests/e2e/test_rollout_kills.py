"""kill -9 during a rollout under load: the rollout continues, and no request counts twice."""

import contextlib
import http.client
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from serve.base.errors import ServerFailed
from serve.control import operations
from serve.control.cli.control_client import ControlClient
from serve.control.operations import ACTS, REPLAY, VIEW
from serve.rollout.api_records import ActRequest
from serve.rollout.state.rollout import Phase
from tests.e2e.graphs import MODEL, body, make_numbers, times
from tests.e2e.rollouts import Told, begin, tell_of, trail_of
from tests.e2e.server import Server, alive, running_server, wait_until
from tests.e2e.swarm import Swarm, swarm

RATE = 40.0
# This is too few requests to cause a verdict.
FEW = 5
OPTIONS = ("--placement", "together", "--gateways", "2")
# Each step adds this share; there are enough steps for the whole test.
MORE = 0.05
LOOKERS = 6
LOOK_EVERY_S = 0.2
SHARES = [*(number * MORE for number in range(1, 16)), 1.0]
POLICY = {
    "shadow": {"skip": True},
    "steps": [{"share": share, "minimum_s": 2, "minimum_requests": 40} for share in SHARES],
    "guards": {
        "errors": {"allowed": 0.05},
        "latency": {"quantile": 0.75, "limit_ms": 5000, "times_baseline": 50},
    },
    "proof_above": 0.9,
}


@dataclass(kw_only=True)
class Ordeal:
    """A rollout, and the kills of its server's processes."""

    repository: Path
    server: Server
    rollout: str
    load: Swarm
    # The number of requests before it.
    before: int
    # For each connection the candidate's shares that a gateway reported, many times a second; and the number
    # of connections when everything was killed.
    seen: list[list[float]]
    seen_before: int
    # What was killed -> the step at that time.
    kills: dict[str, int]

    @property
    def told(self) -> Told:
        """Return the results so far."""
        return tell_of(self.server, self.rollout, self.load)

    @property
    def counted(self) -> int:
        """Return the number of requests in the evidence."""
        segments = ControlClient(self.server.url).ask(VIEW, self.rollout).evidence.segments
        return sum(segment.requests.both for segment in segments)


@contextmanager
def watching(port: int) -> Iterator[list[list[float]]]:
    """Record the candidate's share as gateways report it. Each look uses so many connections that each
    gateway has some."""
    seen: list[list[float]] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(LOOK_EVERY_S):
            shares: list[float] = []
            seen.append(shares)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            # http.client must not reopen a connection that has ended: the new one might be to another
            # gateway.
            connection.auto_open = 0
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
                connection.connect()
                while not stop.wait(LOOK_EVERY_S):
                    connection.request("GET", f"/control/models/{MODEL}")
                    answer = json.loads(connection.getresponse().read())
                    shares.append(answer["routes"]["weights"].get("light", 0.0))

    lookers = [threading.Thread(target=look) for _ in range(LOOKERS)]
    for looker in lookers:
        looker.start()
    try:
        yield seen
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def step_of(server: Server, rollout: str) -> int:
    """Return the rollout's step; -1 if no keeper answers."""
    try:
        return ControlClient(server.url).ask(VIEW, rollout).rollout.step
    except ServerFailed:
        return -1


def goes_on(server: Server, rollout: str, step: int) -> bool:
    """Return whether the rollout is beyond that step."""
    return step_of(server, rollout) > step


def kill(server: Server, rollout: str, processes: list[psutil.Process]) -> int:
    """Send SIGKILL and return the step at that moment."""
    assert processes
    step = step_of(server, rollout)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    return step


@pytest.fixture(scope="module")
def ordeal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordeal]:
    """The keeper is killed, then one of two gateways, then everything at once, which is started again."""
    repository, folder = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("load")
    for variant in ("base", "light"):
        make_numbers(repository, variant, times(1))
    kills: dict[str, int] = {}
    with ExitStack() as stack:
        server = stack.enter_context(running_server(repository, *OPTIONS))
        client = ControlClient(server.url)

        def requests() -> int:
            return int(client.ask(operations.MODEL, MODEL)["variants"]["base"]["requests"])

        with swarm(server.url, MODEL, folder, rate=RATE) as load, watching(server.port) as seen:
            wait_until(lambda: requests() > 0)
            before = requests()
            rollout = begin(server, MODEL, POLICY)
            wait_until(partial(goes_on, server, rollout, 1))
            for name in ("keeper", "gateway"):
                kills[name] = kill(server, rollout, server.replicas(f"counterweight:{name}")[:1])
                wait_until(partial(goes_on, server, rollout, kills[name]))
            wait_until(lambda: len(server.replicas("counterweight:gateway")) == 2)
            tree = server.tree()
            kills["server"] = kill(server, rollout, tree)
            wait_until(lambda: alive(tree) == [])
            seen_before = len(seen)
            ports = [server.port, server.grpc_port]
            server = stack.enter_context(running_server(repository, *OPTIONS, ports=ports))
            wait_until(partial(goes_on, server, rollout, kills["server"]))
        yield Ordeal(
            repository=repository,
            server=server,
            rollout=rollout,
            load=load,
            before=before,
            seen=seen,
            seen_before=seen_before,
            kills=kills,
        )


def test_it_goes_on_where_it_was(ordeal: Ordeal) -> None:
    """The steps are consecutive, and each kill was between two of them."""
    steps = [step for _, step in ordeal.told.places]
    assert steps == list(range(1, len(steps) + 1))
    assert {phase for phase, _ in ordeal.told.places} == {Phase.STEP}
    assert 1 < ordeal.kills["keeper"] < ordeal.kills["gateway"] < ordeal.kills["server"] < len(steps)


def test_no_verdict_is_lost(ordeal: Ordeal) -> None:
    """The trail has no gap, and a replay finds no fault."""
    assert ordeal.told.replay.faults == ()
    assert [line.number for line in ordeal.told.trail] == list(range(1, len(ordeal.told.trail) + 1))


def test_routes_never_fall_back(ordeal: Ordeal) -> None:
    """The candidate's share never falls in a gateway, nor below its value at the kill of all processes."""
    assert all(shares == sorted(shares) for shares in ordeal.seen)
    later = [shares for shares in ordeal.seen[ordeal.seen_before :] if shares]
    assert later
    assert all(shares[0] >= SHARES[ordeal.kills["server"] - 1] for shares in later)


def test_each_request_counts_at_most_once(ordeal: Ordeal) -> None:
    """The evidence has at most the requests since the rollout's start that a server accepted, and more than a
    fifth of those that were answered."""
    failed = ordeal.load.failed
    asked = len(ordeal.load.records) - ordeal.before
    unheard = sum("refused" in error for error in failed)
    print(f"{asked} asked, {len(failed)} failed, {unheard} of them unheard, {ordeal.counted} counted")
    wait_until(lambda: ordeal.counted > 0.2 * (asked - len(failed)))
    assert ordeal.counted <= asked - unheard


def test_of_two_servers_one_acts(ordeal: Ordeal) -> None:
    """Of two servers on one store the second follows the routes and does not act until the first ends; then
    it continues with all counts."""
    first = ControlClient(ordeal.server.url)
    with running_server(ordeal.repository, "--placement", "together") as server:
        second = ControlClient(server.url)

        def alike() -> bool:
            return bool(
                first.ask(operations.MODEL, MODEL)["routes"] == second.ask(operations.MODEL, MODEL)["routes"]
            )

        def told() -> str:
            return " ".join(second.ask(VIEW, ordeal.rollout).warnings)

        wait_until(alike)
        first.ask(ACTS["promote"], ordeal.rollout, body=ActRequest())
        wait_until(alike)
        # Until the first server gives a sign of life, the second may take it for dead and abort at once.
        wait_until(lambda: "is a standby" in told() and "can abort" not in told())
        with pytest.raises(ServerFailed, match="has the lease"):
            second.ask(ACTS["abort"], ordeal.rollout, body=ActRequest())
        counted = ordeal.counted
        for number in range(FEW):
            assert ordeal.server.post(f"/v2/models/{MODEL}/infer", body(number)).status == 200
        wait_until(lambda: ordeal.counted == counted + FEW)
        assert ordeal.server.stop() == 0

        def acts() -> bool:
            with contextlib.suppress(ServerFailed):
                return (
                    second.ask(ACTS["abort"], ordeal.rollout, body=ActRequest()).rollout.phase
                    is Phase.ROLLED_BACK
                )
            return False

        wait_until(acts)
        evidence = second.ask(VIEW, ordeal.rollout).evidence
        assert sum(segment.requests.both for segment in evidence.segments) == counted + FEW
        assert second.ask(REPLAY, ordeal.rollout).faults == ()
        trail = trail_of(server, MODEL)
        assert [line.number for line in trail] == list(range(1, len(trail) + 1))
