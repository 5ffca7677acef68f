"""Measures the cost per request of our endpoint and of other Python servers.

python -m loadtests.peers.bench models --parts digits,minilm"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.peers.answer_parity import Onnxruntime
from loadtests.peers.cost_chart import draw_costs
from loadtests.peers.peer_measurement import BenchRound, Race
from loadtests.peers.peer_servers import Server, ours, peers
from loadtests.peers.process import end_in_order
from loadtests.peers.report import PartReport, ServingReport, table
from loadtests.peers.workload import DIGITS, MINILM, copy_repository
from loadtests.peers.wrk import find_wrk
from loadtests.render.write import write_text
from loadtests.sending.machine import cpu_name
from serve.base.record import nearest

_INTERRUPTED = 130
_ENVIRONMENTS = Path(__file__).parents[2] / "build" / "peers"
_CONNECTIONS = (1, 16, 64)
_ONE_VARIANT = replace(DIGITS, weights={DIGITS.baseline: 100})
_MODELS = (1, 10, 100)
_GATEWAYS = (1, 2)
_TOGETHER = ("--placement", "together")


def make_digits(models: Path, scratch: Path) -> BenchRound:
    """Compare servers on a model that costs less than the serving around it; our traffic is split."""
    repository = copy_repository(models, DIGITS, scratch)
    own_servers = [ours(where, repository, DIGITS, "--placement", where) for where in ("together", "apart")]
    return BenchRound(
        name="digits",
        workload=DIGITS,
        servers=[*own_servers, *peers(models, DIGITS)],
        connections=_CONNECTIONS,
    )


def make_minilm(models: Path, scratch: Path) -> BenchRound:
    """Compare servers on a model that costs more than the serving around it, also at a steady rate."""
    own_server = ours("together", copy_repository(models, MINILM, scratch), MINILM, *_TOGETHER)
    servers = [own_server, *peers(models, MINILM)]
    return BenchRound(name="minilm", workload=MINILM, servers=servers, connections=_CONNECTIONS, steady=True)


def make_models(models: Path, scratch: Path) -> BenchRound:
    """Measure whether the cost of a request grows with the number of models in the repository."""
    servers: list[Server] = []
    for count in _MODELS:
        repository = copy_repository(models, _ONE_VARIANT, scratch / str(count), copies=count)
        servers.append(ours(f"of {count}", repository, _ONE_VARIANT, *_TOGETHER))
    return BenchRound(name="models", workload=_ONE_VARIANT, servers=servers, connections=(16,))


def make_gateways(models: Path, scratch: Path) -> BenchRound:
    """Measure whether throughput grows with the number of gateways."""
    repository = copy_repository(models, DIGITS, scratch)
    servers = [
        ours(
            f"{count} gateway{'s' if count > 1 else ''}",
            repository,
            DIGITS,
            *_TOGETHER,
            "--gateways",
            str(count),
        )
        for count in _GATEWAYS
    ]
    return BenchRound(name="gateways", workload=DIGITS, servers=servers, connections=(64,))


PARTS = {"digits": make_digits, "minilm": make_minilm, "models": make_models, "gateways": make_gateways}


def measure(models: Path, name: str, *, rounds: int, seconds: float) -> PartReport:
    """Run one part. Raises LoadTestError if a bundle is missing or onnxruntime fails on it."""
    with tempfile.TemporaryDirectory(prefix="cw-bench-") as scratch:
        part = PARTS[name](models, Path(scratch) / "repository")
        truth = Onnxruntime(models, part.workload, Path(scratch))
        return Race(part, truth, _ENVIRONMENTS).run(rounds, seconds)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark and return its exit code: 0; 1 if a server had to be left out; 2 if nothing can be
    measured; 130 on Ctrl-C."""
    options = _parse(arguments)
    # Every way to end this program must also stop the servers, which happens when the contexts exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        find_wrk()
        parts = [
            measure(options.models.resolve(), name, rounds=options.rounds, seconds=options.seconds)
            for name in options.parts
        ]
    except LoadTestError as error:
        sys.stderr.write(f"counterweight: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    report = ServingReport(
        rounds=options.rounds,
        seconds=options.seconds,
        cpu=cpu_name(),
        cores=os.cpu_count() or 1,
        parts=tuple(parts),
    )
    sys.stdout.write(table(report) + "\n")
    for path, text in (
        (options.json, report.model_dump_json(indent=2) + "\n"),
        (options.picture, draw_costs(report)),
    ):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
    return 0 if report.complete else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers.bench", description=__doc__)
    add = parser.add_argument
    add("models", type=Path, help="the repository, with digits (fp32, slim-int8) and minilm (fp32)")
    add(
        "--parts",
        default=",".join(PARTS),
        help=f"some of {','.join(PARTS)} (default: all)",
    )
    add("--rounds", type=int, default=3, help="number of rounds, over which medians are taken (default: 3)")
    add("--seconds", type=float, default=2, help="duration of one closed-loop run (default: 2)")
    add("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    add("--picture", type=Path, metavar="FILE", help="also draw the figures as SVG")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or not options.seconds > 0:
        parser.error(
            f"--rounds {options.rounds} --seconds {options.seconds}: rounds must be at least 1, seconds "
            "above 0"
        )
    options.parts = options.parts.split(",")
    for name in options.parts:
        if name not in PARTS:
            parser.error(f"no part {name!r}; {nearest(name, PARTS)}")
    return options


if __name__ == "__main__":
    end_in_order()
    sys.exit(main(sys.argv[1:]))
