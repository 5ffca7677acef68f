"""CPU per request of our endpoint, together and apart, beside plain FastAPI with onnxruntime.

python -m loadtests.peers.bench models --model digits --rounds 3 --seconds 5
"""

import argparse
import os
import signal
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

from tabulate import tabulate
from tqdm import tqdm

from loadtests.errors import LoadTestError
from loadtests.metadata import model_path, read_metadata
from loadtests.payloads import make_payloads, with_id
from loadtests.peers.fastapi_onnxruntime import MODEL_VARIABLE
from loadtests.peers.process import ServerProcess
from loadtests.peers.wrk import WrkResult, find_wrk, run_wrk
from loadtests.record import Record

CONNECTIONS = (1, 16, 64)
_WARM_UP_S = 2


class Figures(Record):
    """One server under one number of connections: medians over the rounds."""

    server: str
    connections: int
    # CPU of all the server's processes, the load generator not among them.
    cpu_ms_per_request: float
    requests_per_s: float
    p50_ms: float
    p99_ms: float


class BenchReport(Record):
    """What --json writes, schema version 1."""

    schema_version: Literal[1] = 1
    model: str
    rounds: int
    seconds: int
    figures: tuple[Figures, ...]


def make_servers(models: Path, model: str) -> list[ServerProcess]:
    """Our endpoint in both placements, and the FastAPI peer on the baseline."""
    ours = ["counterweight", "serve", str(models), "--port", "{port}"]
    ours += ["--weights", f"{model}:fp32=90,slim-int8=10", "--placement"]
    return [
        ServerProcess("together", [*ours, "together"], {}),
        ServerProcess("apart", [*ours, "apart"], {}),
        make_peer(models / model / "fp32" / "model.onnx"),
    ]


def make_peer(onnx_file: Path) -> ServerProcess:
    """FastAPI with onnxruntime, serving one file."""
    app = ["uvicorn", "--factory", "loadtests.peers.fastapi_onnxruntime:create", "--port", "{port}"]
    return ServerProcess(
        "fastapi", [*app, "--no-access-log", "--log-level", "warning"], {MODEL_VARIABLE: str(onnx_file)}
    )


def compare(servers: Sequence[ServerProcess], model: str, *, rounds: int, seconds: int) -> BenchReport:
    """Load the servers in turn, round after round, so that a slow minute of the machine hits them all.

    Raises LoadTestError when a server fails or answers with an error."""
    find_wrk()
    measured: dict[tuple[str, int], list[tuple[float, WrkResult]]] = {}
    with ExitStack() as stack:
        bodies = {}
        for server in servers:
            stack.enter_context(server).wait_until_ready()
            payload = make_payloads(read_metadata(server.url, model), seed=0)
            bodies[server.name] = with_id(payload.encode(0), "bench")
            # One that has only just started may drop a connection here; not so while it is measured.
            with suppress(LoadTestError):
                _load(server, model, bodies[server.name], CONNECTIONS[-1], _WARM_UP_S)
        turns = [(server, count) for _ in range(rounds) for count in CONNECTIONS for server in servers]
        for server, count in tqdm(turns, desc="bench", unit="run", leave=False):
            result = _load(server, model, bodies[server.name], count, seconds)
            measured.setdefault((server.name, count), []).append(result)
    figures = tuple(_summarize(server, count, runs) for (server, count), runs in measured.items())
    return BenchReport(model=model, rounds=rounds, seconds=seconds, figures=figures)


def table(report: BenchReport) -> str:
    """The report for people."""
    head = ["server", "connections", "CPU ms/request", "requests/s", "p50 ms", "p99 ms"]
    rows = [
        [
            row.server,
            row.connections,
            f"{row.cpu_ms_per_request:.3f}",
            f"{row.requests_per_s:.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
        ]
        for row in sorted(report.figures, key=lambda row: row.connections)
    ]
    return tabulate(rows, head, disable_numparse=True, colalign=["left"] + ["right"] * 5)


def main(arguments: list[str]) -> int:
    """Exit code 0, or 2 when the servers cannot be compared."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers.bench", description=__doc__)
    parser.add_argument("models", type=Path, help="the repository, with the variants fp32 and slim-int8")
    parser.add_argument("--model", required=True, help="the model's name")
    parser.add_argument("--rounds", type=int, default=3, help="medians are over these (default: 3)")
    parser.add_argument("--seconds", type=int, default=5, help="of one run (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    options = parser.parse_args(arguments)
    if min(options.rounds, options.seconds) < 1:
        parser.error("--rounds and --seconds must be at least 1")
    # What ends this program must end the servers too, and that is done on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        servers = make_servers(options.models.resolve(), options.model)
        report = compare(servers, options.model, rounds=options.rounds, seconds=options.seconds)
    except LoadTestError as error:
        sys.stderr.write(f"counterweight: {error}\n")
        return error.exit_code
    sys.stdout.write(table(report) + "\n")
    if options.json:
        temporary = options.json.with_name(f".{options.json.name}-{os.getpid()}")
        temporary.write_text(report.model_dump_json(indent=2) + "\n")
        temporary.replace(options.json)
    return 0


def _load(
    server: ServerProcess, model: str, body: bytes, connections: int, seconds: int
) -> tuple[float, WrkResult]:
    """CPU ms of the server per request, and what wrk saw."""
    before = server.cpu_s()
    result = run_wrk(f"{server.url}{model_path(model)}/infer", body, connections=connections, seconds=seconds)
    after = server.cpu_s()
    used_s = sum(spent_s - before.get(process, 0.0) for process, spent_s in after.items())
    return used_s * 1000 / result.requests, result


def _summarize(server: str, connections: int, runs: Sequence[tuple[float, WrkResult]]) -> Figures:
    results = [result for _, result in runs]
    return Figures(
        server=server,
        connections=connections,
        cpu_ms_per_request=statistics.median(cpu_ms for cpu_ms, _ in runs),
        requests_per_s=statistics.median(run.requests / run.duration_us * 1e6 for run in results),
        p50_ms=statistics.median(run.p50_us for run in results) / 1000,
        p99_ms=statistics.median(run.p99_us for run in results) / 1000,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
