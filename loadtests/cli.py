"""The `loadtest` command."""

import argparse
import sys
from pathlib import Path

from loadtests.metadata import read_metadata
from loadtests.payloads import make_payloads, read_payloads
from loadtests.plan import check_pins, make_plan
from loadtests.report import make_report, table
from loadtests.sample import check_records_path, write_records

INTERRUPTED = 130


def loadtest(arguments: list[str]) -> int:
    """Exit code 0: every request was answered rightly; 1: some were not; 130: ended early by Ctrl-C.

    Raises LoadTestError for what cannot be run."""
    options = _parser().parse_args(arguments)
    plan = make_plan(
        url=options.url,
        model=options.model,
        rate_per_s=options.rate,
        duration_s=options.duration,
        seed=options.seed,
        pinned=tuple(options.pin.split(",")) if options.pin is not None else (),
    )
    if options.records:
        check_records_path(options.records)
    metadata = read_metadata(plan.url, plan.model)
    check_pins(plan.pinned, metadata)
    payloads = (
        read_payloads(options.inputs, metadata) if options.inputs else make_payloads(metadata, plan.seed)
    )

    from loadtests.run import measure  # imports locust, which patches the process

    measured = measure(plan, metadata, payloads)
    if options.records:
        write_records(options.records, measured.samples)
    report = make_report(plan, metadata, measured)
    sys.stdout.write((report.model_dump_json(indent=2) if options.json else table(report)) + "\n")
    if not measured.complete:
        return INTERRUPTED
    return 1 if report.errors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight loadtest", description="Measure a served model from outside, by its URL."
    )
    run = parser.add_subparsers(metavar="COMMAND", required=True).add_parser(
        "run",
        help="send open-loop load to one model and report latency per variant",
        description="Send seeded open-loop load to one model of any server that speaks the Open Inference "
        "Protocol, check every answer, and report latency from the intended start, per variant.",
        epilog="example: counterweight loadtest run http://127.0.0.1:8000 --model digits --pin fp32,int8",
    )
    run.add_argument("url", help="the server's address, such as http://127.0.0.1:8000")
    run.add_argument("--model", required=True, help="the model's name")
    run.add_argument("--rate", type=float, default=100, help="requests per second on average (default: 100)")
    run.add_argument("--duration", type=float, default=20, help="seconds (default: 20)")
    run.add_argument("--seed", type=int, default=0, help="the same seed sends the same load (default: 0)")
    run.add_argument("--pin", help="ask for these variants in turn at random instead of following the split")
    run.add_argument(
        "--inputs", type=Path, metavar="FILE.npz", help="real rows, one array per input of the model"
    )
    run.add_argument(
        "--records", type=Path, metavar="FILE.jsonl", help="write the raw record of every request"
    )
    run.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser
