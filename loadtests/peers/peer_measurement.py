"""Measures the servers of one workload in turns. All are running, but all except the measured one are
frozen."""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from loadtests.errors import LoadTestError
from loadtests.peers.answer_parity import Onnxruntime, check_answers
from loadtests.peers.peer_servers import Server
from loadtests.peers.process import ServerProcess
from loadtests.peers.report import LoadFigures, PartReport, ServerFigures
from loadtests.peers.workload import Workload
from loadtests.peers.wrk import WrkResult, run_wrk

_WARM_UP_S = 1.0
_IDLE_S = 2.0
# After being frozen, a server's timers have to catch up.
_SETTLE_S = 0.5
# The steady rate is half of what one thread of onnxruntime could answer, and lasts four times as long as a
# closed-loop run. It uses few enough connections that each waits at most 3 s for its next turn, since servers
# close connections that are idle for 5 s.
_STEADY_SHARE = 0.5
_STEADY_TIMES = 4
_STEADY_WAIT_S = 3
_STEADY_CONNECTIONS = 64


@dataclass(frozen=True, kw_only=True)
class BenchLoad:
    """One kind of load."""

    connections: int
    # None: closed loop, in which a connection sends its next request after its answer.
    rate_per_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class BenchRound:
    """One comparison."""

    name: str
    workload: Workload
    servers: Sequence[Server]
    # Numbers of connections of the closed-loop runs.
    connections: tuple[int, ...]
    # Whether to measure at a steady rate, too.
    steady: bool = False


class Race:
    """Runs one part. A server that fails is stopped and its reason is recorded; the others continue."""

    def __init__(self, part: BenchRound, truth: Onnxruntime, environments: Path) -> None:
        self._part = part
        self._truth = truth
        self._environments = environments
        self._processes: dict[str, ServerProcess] = {}
        self._idle_cores: dict[str, float] = {}
        self._failures: dict[str, str] = {}
        self._floor_ms: list[float] = []
        self._runs: dict[tuple[str, BenchLoad], list[tuple[float, WrkResult]]] = {}

    def run(self, rounds: int, seconds: float) -> PartReport:
        """Run all rounds. Raises LoadTestError if onnxruntime itself fails."""
        with ExitStack() as stack:
            self._start(stack)
            with tqdm(total=rounds, desc=self._part.name, unit="round", leave=False) as progress:
                for _ in range(rounds):
                    self._round(seconds)
                    progress.update()
        return self._report()

    def _start(self, stack: ExitStack) -> None:
        for server in self._part.servers:
            with self._dropping(server):
                process = server.process(self._environments)
                self._processes[server.name] = stack.enter_context(process)
                process.wait_until_ready()
                check_answers(server, process.url, self._truth, self._part.workload.baseline)
                # A server that has just started may drop a connection during the warm-up, but not during the
                # measurement.
                with suppress(LoadTestError):
                    self._load(
                        server, process, BenchLoad(connections=max(self._part.connections)), _WARM_UP_S
                    )
                process.wait_until_ready()
                self._idle_cores[server.name] = _idle_cores(process)
                process.freeze()

    def _round(self, seconds: float) -> None:
        self._floor_ms.append(self._truth.cpu_ms(seconds))
        for connections in self._part.connections:
            self._turn(BenchLoad(connections=connections), seconds)
        if self._part.steady:
            self._turn(_steady(self._floor_ms[0]), seconds * _STEADY_TIMES)

    def _turn(self, load: BenchLoad, seconds: float) -> None:
        """Measure every server under this load, one after the other."""
        for server in self._part.servers:
            if server.name in self._failures:
                continue
            with self._dropping(server):
                process = self._processes[server.name]
                process.thaw()
                time.sleep(_SETTLE_S)
                run = self._load(server, process, load, seconds)
                self._runs.setdefault((server.name, load), []).append(run)
                process.freeze()

    def _load(
        self, server: Server, process: ServerProcess, load: BenchLoad, seconds: float
    ) -> tuple[float, WrkResult]:
        """Return the CPU seconds of all processes of the server, and wrk's result."""
        before = process.cpu_s()
        result = run_wrk(
            f"{process.url}{server.path}",
            server.form.encode(self._truth.rows[0]),
            connections=load.connections,
            seconds=seconds,
            rate_per_s=load.rate_per_s,
        )
        return _used_s(before, process.cpu_s()), result

    @contextmanager
    def _dropping(self, server: Server) -> Iterator[None]:
        try:
            yield
        except LoadTestError as error:
            self._failures[server.name] = str(error)
            sys.stderr.write(f"{server.name} is left out: {error}\n")
            if process := self._processes.get(server.name):
                process.stop()

    def _report(self) -> PartReport:
        return PartReport(
            name=self._part.name,
            model=self._part.workload.model,
            floor_cpu_ms=statistics.median(self._floor_ms),
            servers=tuple(
                ServerFigures(
                    name=server.name,
                    requirements=server.requirements,
                    idle_cores=self._idle_cores.get(server.name),
                    failure=self._failures.get(server.name),
                )
                for server in self._part.servers
            ),
            figures=tuple(
                _summarize(name, load, runs)
                for (name, load), runs in self._runs.items()
                if name not in self._failures
            ),
        )


def _steady(floor_ms: float) -> BenchLoad:
    rate_per_s = round(_STEADY_SHARE * 1000 / floor_ms, 1)
    connections = max(1, min(_STEADY_CONNECTIONS, int(rate_per_s * _STEADY_WAIT_S)))
    return BenchLoad(connections=connections, rate_per_s=rate_per_s)


def _idle_cores(process: ServerProcess) -> float:
    time.sleep(_SETTLE_S)
    before, started_s = process.cpu_s(), time.monotonic()
    time.sleep(_IDLE_S)
    return _used_s(before, process.cpu_s()) / (time.monotonic() - started_s)


def _used_s(before: dict[tuple[int, float], float], after: dict[tuple[int, float], float]) -> float:
    return sum(spent_s - before.get(process, 0.0) for process, spent_s in after.items())


def _summarize(server: str, load: BenchLoad, runs: Sequence[tuple[float, WrkResult]]) -> LoadFigures:
    results = [result for _, result in runs]
    return LoadFigures(
        server=server,
        connections=load.connections,
        rate_per_s=load.rate_per_s,
        requests=sum(result.requests for result in results),
        cpu_ms_per_request=statistics.median(cpu_s * 1000 / result.requests for cpu_s, result in runs),
        client_cpu_ms_per_request=statistics.median(
            result.cpu_s * 1000 / result.requests for result in results
        ),
        requests_per_s=statistics.median(result.requests / result.span_s for result in results),
        p50_ms=statistics.median(result.p50_ms for result in results),
        p99_ms=statistics.median(result.p99_ms for result in results),
        late_ms=statistics.median(result.late_s for result in results) * 1000,
    )
