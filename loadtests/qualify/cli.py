"""Runs the `counterweight qualify` command."""

import argparse
import sys
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.judging.limits import load_limits
from loadtests.load_plan import check_url
from loadtests.loadtest_parser import add_inputs, add_limits
from loadtests.qualify.qualification_record import QualificationRecord
from loadtests.qualify.qualification_table import table
from loadtests.render.write import check_paths, write_text
from loadtests.sending.client import Client
from loadtests.sending.end_signals import interrupting
from loadtests.sending.input_words import parse_inputs
from loadtests.sending.model_metadata import read_metadata
from loadtests.sending.payloads import prepare_payloads
from serve.base.server_address import add_token, add_url, find_url, read_token
from serve.rollout.trail.qualification import QualificationOutcome

INTERRUPTED = 130
_CODES = {
    QualificationOutcome.QUALIFIED: 0,
    QualificationOutcome.NOT_QUALIFIED: 1,
    QualificationOutcome.INVALID: 3,
}


def qualify(arguments: list[str]) -> int:
    """Run the command and return its exit code: 0 for QUALIFIED, 1 for NOT_QUALIFIED, 3 for INVALID, 130 when
    it was ended early by Ctrl-C, SIGTERM or SIGHUP. Raises LoadTestError, and InvalidRecord for a token."""
    with interrupting():
        return _qualify(arguments)


def _qualify(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    check_paths(json=options.json, html=options.html)
    client = Client(url=check_url(find_url(options)), token=read_token(options.token_file))
    record = _run(options, client).model_copy(update={"command": ("counterweight", "qualify", *arguments)})
    if options.json is not None:
        write_text(options.json, record.model_dump_json(indent=2) + "\n")
    if options.html is not None:
        from loadtests.qualify.qualification_page import page  # slow to import, since it draws

        write_text(options.html, page(record))
    sys.stdout.write(table(record) + "\n")
    if not record.complete:
        return INTERRUPTED
    from loadtests.qualify.stages import write_down

    try:
        write_down(client, record)
    except LoadTestError as error:
        raise LoadTestError(
            f"the record could not be written to the server's trail, so no rollout will find it: {error}"
        ) from None
    return _CODES[record.outcome]


def _run(options: argparse.Namespace, client: Client) -> QualificationRecord:
    limits = load_limits(options.limits, options.set)
    if limits.p99_ms is None:
        raise LoadTestError(
            "a qualification needs a latency limit; give p99_ms in --limits or with --set p99_ms=50"
        )
    metadata = read_metadata(client, options.model)
    payloads = prepare_payloads(
        parse_inputs(options.inputs, options.columns, options.range, options.seed), metadata
    )
    # These imports load locust, which patches the process.
    from loadtests.qualify.stages import Subject, run_chain
    from loadtests.sending.measure import LoadTarget

    subject = Subject(
        client=client,
        target=LoadTarget(metadata=metadata, payloads=payloads, headers=client.headers),
        model=options.model,
        candidate=options.to,
        limits=limits,
        seed=options.seed,
        generated=options.inputs is None,
        binary=options.binary,
    )
    return run_chain(subject, _say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight qualify",
        description="Test a variant in four stages: the export's measurements, its capacity compared with "
        "the baseline's, its agreement as a shadow under load, and a canary under load. The server "
        "is loaded to its limit, so use one without users. It stores the record, and a rollout whose "
        "policy says `qualified: true` starts only if there is one.",
        epilog="example: counterweight qualify digits --to slim-int8 --limits limits.yaml. Exit code 0: "
        "QUALIFIED; 1: NOT_QUALIFIED; 3: INVALID, no decision; 2: bad input; 130: ended early by "
        "Ctrl-C, SIGTERM or SIGHUP.",
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--to", required=True, metavar="VARIANT", help="the candidate")
    add_limits(parser)
    add_url(parser)
    add_token(parser)
    add_inputs(parser)
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="write the whole record as JSON")
    parser.add_argument(
        "--html", type=Path, metavar="FILE.html", help="write a self-contained HTML page with charts"
    )
    return parser


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
