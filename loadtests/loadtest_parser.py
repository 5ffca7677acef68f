"""Defines the options of `counterweight loadtest`, with an example for each command."""

import argparse
from pathlib import Path
from typing import Any

from serve.base.server_address import add_token

_FILES = {
    "json": ("JSON", "write the report as JSON, from which the other formats can be rendered again"),
    "html": ("HTML", "write the report as a self-contained HTML page with charts"),
    "markdown": ("MD", "write the report as tables for a pull request"),
    "junit": ("XML", "write a test case for each check, for CI"),
}


def loadtest_parser() -> argparse.ArgumentParser:
    """Return the parser, which stores the command's name in `command`."""
    parser = argparse.ArgumentParser(
        prog="counterweight loadtest",
        description="Measure served models from outside, by their server's URL.",
        epilog="example: counterweight loadtest run http://127.0.0.1:8000 --model digits. Exit code 0: PASS; "
        "1: FAIL; 3: INVALID, the figures cannot be trusted or do not suffice; 2: bad input; 130: ended "
        "early by Ctrl-C, SIGTERM or SIGHUP.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    _add_run(commands)
    _add_compare(commands)
    _add_capacity(commands)
    _add_soak(commands)
    _add_report(commands)
    return parser


def _add_run(commands: Any) -> None:
    parser = _add_load(
        commands,
        "run",
        "send open-loop load to a model and judge each variant on its own",
        "http://127.0.0.1:8000 --model digits --rate 200 --duration 60 --set p99_ms=50",
    )
    _add_rate(parser, rate=100, duration=30)
    _add_pin(parser, "request these variants at random instead of following the server's split")
    parser.add_argument(
        "--profile",
        metavar="S:RATE,...",
        help="a changing rate, instead of --rate and --duration: points joined by straight lines, such "
        "as 0:10,60:200 (a ramp) or 0:50,30:50,30:500,35:500,35:50,60:50 (a spike)",
    )
    _add_records(parser)


def _add_compare(commands: Any) -> None:
    parser = _add_load(
        commands,
        "compare",
        "compare variants that are mixed at random in one run, with intervals",
        "http://127.0.0.1:8000 fp32 slim-int8 --model digits --set p99_ms=50",
    )
    parser.add_argument("baseline", metavar="BASELINE", help="the current variant")
    parser.add_argument("candidates", metavar="CANDIDATE", nargs="+", help="variants to compare with it")
    _add_rate(parser, rate=100, duration=60)
    _add_records(parser)


def _add_capacity(commands: Any) -> None:
    parser = _add_load(
        commands,
        "capacity",
        "find the highest rate at which p99 and errors keep the limits, for each variant",
        "http://127.0.0.1:8000 --model digits --set p99_ms=50",
    )
    parser.add_argument(
        "--rate", type=float, default=20, help="the first rate to try, requests per second (default: 20)"
    )
    parser.add_argument(
        "--duration",
        type=float,
        default=60,
        help="maximum seconds per rate, unless its proof takes longer (default: 60)",
    )
    _add_pin(parser, "search the capacity of these variants (default: all)")


def _add_soak(commands: Any) -> None:
    parser = _add_load(
        commands,
        "soak",
        "keep one rate for a long time, and check whether latency, errors or memory grow",
        "http://127.0.0.1:8000 --model digits --rate 50 --duration 14400 --set p99_ms=50",
    )
    _add_rate(parser, rate=50, duration=3600)
    _add_pin(parser, "request these variants at random instead of following the server's split")
    _add_records(parser)


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="render the table, page, markdown and JUnit again from a JSON report",
        description="Render the table, page, markdown and JUnit again from the JSON report of a load test.",
        epilog="example: counterweight loadtest report digits.json --html digits.html",
    )
    parser.add_argument("report", type=Path, metavar="FILE.json", help="the file that --json wrote")
    _add_files(parser, ("html", "markdown", "junit"))


def _add_load(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. Requests follow a seeded schedule that does not "
        "depend on the server, every answer is checked, and latency is measured from the scheduled start.",
        epilog=f"example: counterweight loadtest {name} {example}",
    )
    parser.add_argument("url", help="the server's address, such as http://127.0.0.1:8000")
    parser.add_argument("--model", required=True, help="the model's name")
    parser.add_argument(
        "--arrivals",
        choices=("poisson", "constant"),
        default="poisson",
        help="random, like independent users (default), or evenly spaced",
    )
    add_inputs(parser)
    add_limits(parser)
    add_token(parser)
    _add_files(parser, tuple(_FILES))
    return parser


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the requests contain."""
    parser.add_argument(
        "--inputs",
        type=Path,
        metavar="FILE",
        help="real inputs: .npz, .npy, .parquet, .csv or .jsonl as in a recipe, or .txt with a text per "
        "line; arrays and columns that are no inputs, such as labels, are left out",
    )
    parser.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="INPUT=NAME,...",
        help="the arrays, columns or keys of the file that become an input, such as pixels=p*; without it, "
        "those with the name of the input",
    )
    parser.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="INPUT=LOW:HIGH",
        help="without --inputs: the least and the largest number of an input, such as age=18:90 "
        "(default: 0:1)",
    )
    parser.add_argument("--binary", action="store_true", help="send tensors as bytes instead of JSON")
    parser.add_argument("--seed", type=int, default=0, help="the same seed sends the same load (default: 0)")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add `--limits` and `--set`; see `load_limits`."""
    parser.add_argument(
        "--limits",
        type=Path,
        metavar="FILE.yaml",
        help="the limits that the model must keep (see loadtests/LIMITS.md)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one limit, such as p99_ms=50"
    )


def _add_rate(parser: argparse.ArgumentParser, rate: float, duration: float) -> None:
    parser.add_argument("--rate", type=float, default=rate, help=f"requests per second (default: {rate})")
    parser.add_argument("--duration", type=float, default=duration, help=f"seconds (default: {duration})")
    parser.add_argument(
        "--warmup",
        type=float,
        default=2,
        metavar="S",
        help="seconds of load before the measurement (default: 2)",
    )


def _add_pin(parser: argparse.ArgumentParser, summary: str) -> None:
    parser.add_argument("--pin", metavar="VARIANT,...", help=summary)


def _add_records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", type=Path, metavar="FILE.jsonl", help="write a record of every request")


def _add_files(parser: argparse.ArgumentParser, names: tuple[str, ...]) -> None:
    for name in names:
        kind, summary = _FILES[name]
        parser.add_argument(f"--{name}", type=Path, metavar=f"FILE.{kind.lower()}", help=f"write {summary}")
