"""Benchmark of capacity and latency of every variant of a model behind our own server (`make
bench-loadtests`)."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from loadtests.candidate_comparison import Ratio
from loadtests.errors import LoadTestError
from loadtests.peers.process import ServerProcess, end_in_order
from loadtests.render.read_report import read_report
from loadtests.report import LoadReport
from loadtests.sending.client import Client
from loadtests.sending.model_metadata import read_metadata
from loadtests.variant_report import Interval

_ROOT = Path(__file__).parents[1]
# For each model, the file of its real inputs and its baseline.
_MODELS = {"digits-resnet": "build/digits-resnet/inputs.npz", "minilm": "build/minilm/inputs.npz"}
_BASELINE = "fp32"
_LIMIT = ("--set", "p99_ms=250")
# The rate of the comparison as a share of the baseline's capacity, its minimum duration, and the number of
# answers per variant (slightly more than a p99 needs).
_LOAD, _LEAST_S, _ANSWERS = 0.5, 60, 1_100
_FOUND = {0, 1, 3}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return exit code 0; the reports say whether their figures can be trusted."""
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for model in options.only or _MODELS:
        source = options.models / model
        if not (source / _BASELINE / "bundle.json").exists():
            raise LoadTestError(
                f"{source} has no {_BASELINE}; run `make {model}`, or give another repository"
            )
        with tempfile.TemporaryDirectory(prefix="cw-bench-") as scratch:
            shutil.copytree(source, Path(scratch) / model, ignore=shutil.ignore_patterns(".work"))
            reports = _measure(model, Path(scratch), options.out)
        sys.stdout.write(f"\n{model}, 99 of 100 requests within 250 ms\n{_table(*reports)}\n")
    return 0


def _measure(model: str, repository: Path, out: Path) -> tuple[LoadReport, LoadReport]:
    """Search the capacity and run the comparison, each with the `counterweight loadtest` command."""
    words = ["serve", str(repository), "--port", "{port}", "--grpc-port", "{grpc_port}"]
    command = [sys.executable, "-m", "counterweight", *words]
    with ServerProcess(model, command, {}) as server:
        server.wait_until_ready()
        url = f"http://127.0.0.1:{server.port}"
        variants = read_metadata(Client(url=url), model).versions
        order = [_BASELINE, *(name for name in variants if name != _BASELINE)]
        options = ["--model", model, "--inputs", _MODELS[model], *_LIMIT]
        capacity = _run(["capacity", url, "--pin", ",".join(order), *options], out / f"{model}-capacity")
        baseline = capacity.capacities[_BASELINE].rate_per_s
        if baseline is None:
            raise LoadTestError(f"no rate keeps the limits of {model}: {capacity.verdict.reasons}")
        rate = round(_LOAD * baseline)
        duration_s = max(_LEAST_S, round(_ANSWERS * len(order) / rate))
        load = ["--rate", str(rate), "--duration", str(duration_s)]
        return capacity, _run(["compare", url, *order, *load, *options], out / f"{model}-compare")


def _run(words: Sequence[str], out: Path) -> LoadReport:
    """Run `counterweight loadtest` and return its report, which is also written to `out` as JSON and HTML."""
    files = ["--json", f"{out}.json", "--html", f"{out}.html"]
    command = [sys.executable, "-m", "counterweight", "loadtest", *words, *files]
    code = subprocess.run(command, cwd=_ROOT, stdout=sys.stderr, check=False).returncode
    if code not in _FOUND:
        raise LoadTestError(f"{' '.join(command[2:])} ended with exit code {code}; see above")
    return read_report(out.with_name(f"{out.name}.json"))


def _table(capacity: LoadReport, compared: LoadReport) -> str:
    """Return a markdown table with a row for each variant."""
    ratios: Mapping[str, Mapping[str, Ratio]] = {
        comparison.candidate: {ratio.figure: ratio for ratio in comparison.ratios}
        for comparison in compared.comparisons
    }
    first = capacity.capacities[_BASELINE].rate_per_s or 0.0
    rows = []
    for name, result in capacity.capacities.items():
        rate = result.rate_per_s
        report = compared.variants[name]
        rows.append(
            [
                f"`{name}`",
                "-" if rate is None else f"{rate:,.0f}",
                "-" if not rate or not first else f"{rate / first:.2f}x",
                f"{result.confirmed} of {result.confirmations}",
                "-" if result.cost is None else f"{result.cost.model_s:.1f}",
                "-" if result.cost is None else f"{result.cost.gateway_s + result.cost.proxy_s:.1f}",
                _ms(report.p50_ms),
                _ratio(ratios.get(name, {}).get("p50")),
                _ms(report.p99_ms),
                _ratio(ratios.get(name, {}).get("p99")),
            ]
        )
    head = ["variant", "requests/s", "", "confirmed", "CPU ms: model", "the rest"]
    head += [f"p50 at {compared.plan.rate_per_s:.0f}/s", "", "p99", ""]
    verdicts = f"capacity: {capacity.verdict.outcome}, compare: {compared.verdict.outcome}"
    return f"{tabulate(rows, head, tablefmt='github', disable_numparse=True)}\n{verdicts}"


def _ms(value: Interval | None) -> str:
    return "-" if value is None else f"{value.value:.1f} ms"


def _ratio(ratio: Ratio | None) -> str:
    return "" if ratio is None else f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench",
        description="Find the capacity of every variant of digits-resnet and MiniLM behind our own server, "
        "and compare their latencies at half of what the baseline can take.",
        epilog="example: python -m loadtests.bench models --only digits-resnet",
    )
    parser.add_argument("models", type=Path, help="the repository")
    parser.add_argument("--only", action="append", choices=tuple(_MODELS), help="this model")
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench-loadtests"), help="folder for the reports"
    )
    return parser


if __name__ == "__main__":
    end_in_order()
    try:
        sys.exit(main())
    except LoadTestError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
