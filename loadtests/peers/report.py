"""The report of the benchmark, as JSON and as tables."""

from typing import Literal

from tabulate import tabulate

from serve.base.record import Record

# A request that is sent later than this has waited for a connection, which its latency does not include.
_LATE_MS = 20.0
# The p99 of fewer requests rests on fewer than ten slow ones.
_ENOUGH = 1000


class LoadFigures(Record):
    """One server under one load: medians over the rounds."""

    server: str
    connections: int
    # Rate of random arrivals that do not depend on the server; None: closed loop, in which each connection
    # sends its next request after its answer.
    rate_per_s: float | None
    # Number of requests in all rounds.
    requests: int
    # CPU time of all processes of the server, and of the load generator, which is not included in it.
    cpu_ms_per_request: float
    client_cpu_ms_per_request: float
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    # Delay of the latest request of a round because no connection was free.
    late_ms: float

    @property
    def kept_up(self) -> bool:
        """Whether every request was sent nearly on time; otherwise the latencies are incomplete."""
        return self.rate_per_s is None or self.late_ms <= _LATE_MS


class ServerFigures(Record):
    """One server."""

    name: str
    # Requirements of its environment; empty: it ran in ours.
    requirements: tuple[str, ...]
    # CPU that its processes use without requests, in cores; None if it failed before.
    idle_cores: float | None
    # Why it is left out; None if it is not.
    failure: str | None


class PartReport(Record):
    """One comparison."""

    name: str
    model: str
    # CPU time of onnxruntime alone for one request.
    floor_cpu_ms: float
    servers: tuple[ServerFigures, ...]
    figures: tuple[LoadFigures, ...]


class ServingReport(Record):
    """The JSON that --json writes, schema version 2."""

    schema_version: Literal[2] = 2
    rounds: int
    seconds: float
    cpu: str
    cores: int
    parts: tuple[PartReport, ...]

    @property
    def complete(self) -> bool:
        """Whether every server was measured."""
        return all(entry.failure is None for part in self.parts for entry in part.servers)


def table(report: ServingReport) -> str:
    """Render the report for the terminal."""
    head = f"{report.cpu}, {report.cores} cores; medians of {report.rounds} rounds of {report.seconds:g} s"
    return "\n\n".join([head, *(_part(part) for part in report.parts)])


def load_name(figures: LoadFigures) -> str:
    """Return the heading of the load."""
    if figures.rate_per_s is not None:
        return f"{figures.rate_per_s:g} requests/s"
    return f"{figures.connections} connection{'s' if figures.connections > 1 else ''}"


def _part(part: PartReport) -> str:
    head = ["load", "server", "CPU ms/request", "client's", "requests/s", "p50 ms", "p99 ms"]
    # In the order of the rounds: by load, then by server.
    rows = [
        [
            load_name(row),
            row.server,
            f"{row.cpu_ms_per_request:.3f}",
            f"{row.client_cpu_ms_per_request:.3f}",
            f"{row.requests_per_s:.1f}" if row.requests_per_s < 100 else f"{row.requests_per_s:.0f}",
            *_latency(row),
        ]
        for row in part.figures
    ]
    idle = ", ".join(
        f"{entry.name} {entry.idle_cores:.1%}" for entry in part.servers if entry.idle_cores is not None
    )
    lines = [
        f"{part.name}: onnxruntime alone takes {part.floor_cpu_ms:.3f} ms of CPU for one request",
        tabulate(rows, head, disable_numparse=True, colalign=["left", "left"] + ["right"] * 5),
        f"idle, of one core: {idle}",
        *([f"~ rests on fewer than {_ENOUGH:,} requests"] if any(map(_is_thin, part.figures)) else []),
        *(f"{entry.name} is left out: {entry.failure}" for entry in part.servers if entry.failure),
    ]
    return "\n".join(lines)


def _latency(row: LoadFigures) -> tuple[str, str]:
    if not row.kept_up:
        return "-", "did not keep up"
    return f"{row.p50_ms:.2f}", f"{'~' if _is_thin(row) else ''}{row.p99_ms:.2f}"


def _is_thin(row: LoadFigures) -> bool:
    return row.requests < _ENOUGH
