"""Runs the `counterweight loadtest` command."""

import argparse
import sys

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits, load_limits
from loadtests.load_plan import LoadPlan, check_pins, check_url, make_plan, parse_profile, steady
from loadtests.load_verdict import CheckOutcome
from loadtests.loadtest_parser import loadtest_parser
from loadtests.render.read_report import read_report
from loadtests.render.report_table import table
from loadtests.render.write import check_paths, write_all
from loadtests.report import LoadReport
from loadtests.sending.client import Client
from loadtests.sending.end_signals import interrupting
from loadtests.sending.input_words import parse_inputs
from loadtests.sending.model_metadata import ModelMetadata, read_metadata
from loadtests.sending.payloads import prepare_payloads
from loadtests.sending.samples import write_records
from serve.base.server_address import read_token

INTERRUPTED = 130
EXIT_CODES = {CheckOutcome.PASS: 0, CheckOutcome.FAIL: 1, CheckOutcome.INVALID: 3}


def loadtest(arguments: list[str]) -> int:
    """Run the command and return its exit code: 0 for PASS, 1 for FAIL, 3 for INVALID, 130 when it was ended
    early by Ctrl-C, SIGTERM or SIGHUP. Raises LoadTestError, and InvalidRecord for a token."""
    with interrupting():
        return _loadtest(arguments)


def _loadtest(arguments: list[str]) -> int:
    options = loadtest_parser().parse_args(arguments)
    files = {name: getattr(options, name, None) for name in ("json", "html", "markdown", "junit")}
    check_paths(**files, records=getattr(options, "records", None))
    if options.command == "report":
        report = read_report(options.report)
    else:
        measured = _measure(options)
        report = measured.model_copy(update={"command": ("counterweight", "loadtest", *arguments)})
    write_all(report, **files)
    sys.stdout.write(table(report) + "\n")
    return EXIT_CODES[report.verdict.outcome] if report.complete else INTERRUPTED


def _measure(options: argparse.Namespace) -> LoadReport:
    limits = load_limits(options.limits, options.set)
    if options.command == "capacity" and limits.p99_ms is None:
        raise LoadTestError(
            "a search for capacity needs a latency limit; give p99_ms with --set p99_ms=50 or in --limits"
        )
    token = read_token(options.token_file)
    # Bad options are refused before any request reaches the server.
    plan = _plan(options, _pins(options))
    client = Client(url=plan.url, token=token)
    metadata = read_metadata(client, plan.model)
    check_pins(plan.pinned, metadata)
    if options.command == "capacity" and not plan.pinned:
        plan = plan.model_copy(update={"pinned": metadata.versions})
    return _run(options, client, metadata, plan, limits)


def _run(
    options: argparse.Namespace, client: Client, metadata: ModelMetadata, plan: LoadPlan, limits: Limits
) -> LoadReport:
    payloads = prepare_payloads(
        parse_inputs(options.inputs, options.columns, options.range, plan.seed), metadata
    )
    # These imports load locust, which patches the process.
    from loadtests.kinds.capacity import find_capacity
    from loadtests.kinds.compare import compare
    from loadtests.kinds.load import run
    from loadtests.kinds.soak import soak
    from loadtests.sending.measure import LoadTarget

    target = LoadTarget(metadata=metadata, payloads=payloads, headers=client.headers)
    if options.command == "capacity":
        return find_capacity(client, target, plan, limits, _say)
    kind = {"run": run, "compare": compare, "soak": soak}[options.command]
    report, samples = kind(client, target, plan, limits)
    if options.records is not None:
        write_records(options.records, samples)
    return report


def _plan(options: argparse.Namespace, pinned: tuple[str, ...]) -> LoadPlan:
    profile = getattr(options, "profile", None)
    return make_plan(
        url=check_url(options.url),
        model=options.model,
        profile=parse_profile(profile) if profile else steady(options.rate, options.duration),
        arrivals=options.arrivals,
        warmup_s=getattr(options, "warmup", 0),
        seed=options.seed,
        pinned=pinned,
        binary=options.binary,
    )


def _pins(options: argparse.Namespace) -> tuple[str, ...]:
    if options.command == "compare":
        return (options.baseline, *options.candidates)
    return tuple(options.pin.split(",")) if options.pin is not None else ()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
