"""Parser: the options of `counterweight loadtest`, each command of it with an example."""

import argparse
from pathlib import Path
from typing import Any

from serve.base.server_address import add_token

_FILES = {
    "json": ("JSON", "the report, from which the others can be made again"),
    "html": ("HTML", "a page with pictures, in one file"),
    "markdown": ("MD", "tables for a pull request"),
    "junit": ("XML", "a test case for each check, for CI"),
}


def loadtest_parser() -> argparse.ArgumentParser:
    """It leaves the name of the command in `command`."""
    parser = argparse.ArgumentParser(
        prog="counterweight loadtest",
        description="Measure served models from outside, by their server's URL.",
        epilog="example: counterweight loadtest run http://127.0.0.1:8000 --model digits. Exit code 0: PASS; "
        "1: FAIL; 3: INVALID, the figures cannot be trusted or decide nothing; 2: bad input; 130: ended "
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
        "send open-loop load to a model, and judge each variant by itself",
        "http://127.0.0.1:8000 --model digits --rate 200 --duration 60 --set p99_ms=50",
    )
    _add_rate(parser, rate=100, duration=30)
    _add_pin(parser, "ask for these variants at random instead of following the server's split")
    parser.add_argument(
        "--profile",
        metavar="S:RATE,...",
        help="a rate that changes, instead of --rate and --duration: points joined by straight lines, such "
        "as 0:10,60:200 (a ramp) or 0:50,30:50,30:500,35:500,35:50,60:50 (a spike)",
    )
    _add_records(parser)


def _add_compare(commands: Any) -> None:
    parser = _add_load(
        commands,
        "compare",
        "compare variants, mixed at random in one run, with intervals",
        "http://127.0.0.1:8000 fp32 slim-int8 --model digits --set p99_ms=50",
    )
    parser.add_argument("baseline", metavar="BASELINE", help="the variant that you trust")
    parser.add_argument("candidates", metavar="CANDIDATE", nargs="+", help="variants to weigh against it")
    _add_rate(parser, rate=100, duration=60)
    _add_records(parser)


def _add_capacity(commands: Any) -> None:
    parser = _add_load(
        commands,
        "capacity",
        "find the highest rate at which p99 and errors keep the limits, for each variant",
        "http://127.0.0.1:8000 --model digits --set p99_ms=50",
    )
    parser.add_argument("--rate", type=float, default=20, help="the first that is tried (default: 20)")
    parser.add_argument(
        "--duration",
        type=float,
        default=60,
        help="the longest that one rate is tried, s, unless its proof takes longer (default: 60)",
    )
    _add_pin(parser, "of these variants (default: all)")


def _add_soak(commands: Any) -> None:
    parser = _add_load(
        commands,
        "soak",
        "keep one rate up for long, and see whether latency, errors or memory grow",
        "http://127.0.0.1:8000 --model digits --rate 50 --duration 14400 --set p99_ms=50",
    )
    _add_rate(parser, rate=50, duration=3600)
    _add_pin(parser, "ask for these variants at random instead of following the server's split")
    _add_records(parser)


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="make table, page, markdown and JUnit again from a JSON",
        description="Make table, page, markdown and JUnit again from the JSON of a load test.",
        epilog="example: counterweight loadtest report digits.json --html digits.html",
    )
    parser.add_argument("report", type=Path, metavar="FILE.json", help="what --json wrote")
    _add_files(parser, ("html", "markdown", "junit"))


def _add_load(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. Requests go out on a seeded schedule whatever the "
        "server does, every answer is checked, and latency counts from the intended start.",
        epilog=f"example: counterweight loadtest {name} {example}",
    )
    parser.add_argument("url", help="the server's address, such as http://127.0.0.1:8000")
    parser.add_argument("--model", required=True, help="the model's name")
    parser.add_argument("--seed", type=int, default=0, help="the same seed sends the same load (default: 0)")
    parser.add_argument(
        "--arrivals",
        choices=("poisson", "constant"),
        default="poisson",
        help="at random, as users come (default), or evenly",
    )
    parser.add_argument(
        "--inputs",
        type=Path,
        metavar="FILE",
        help="real inputs: .npz, an array per input; or .txt, a text per line",
    )
    parser.add_argument("--binary", action="store_true", help="send tensors as bytes instead of JSON")
    parser.add_argument(
        "--limits", type=Path, metavar="FILE.yaml", help="what is asked of the model (loadtests/LIMITS.md)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one limit, such as p99_ms=50"
    )
    add_token(parser)
    _add_files(parser, tuple(_FILES))
    return parser


def _add_rate(parser: argparse.ArgumentParser, rate: float, duration: float) -> None:
    parser.add_argument("--rate", type=float, default=rate, help=f"requests per second (default: {rate})")
    parser.add_argument("--duration", type=float, default=duration, help=f"seconds (default: {duration})")
    parser.add_argument(
        "--warmup",
        type=float,
        default=2,
        metavar="S",
        help="seconds before that are not counted (default: 2)",
    )


def _add_pin(parser: argparse.ArgumentParser, summary: str) -> None:
    parser.add_argument("--pin", metavar="VARIANT,...", help=summary)


def _add_records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--records", type=Path, metavar="FILE.jsonl", help="write the raw record of every request"
    )


def _add_files(parser: argparse.ArgumentParser, names: tuple[str, ...]) -> None:
    for name in names:
        kind, summary = _FILES[name]
        parser.add_argument(f"--{name}", type=Path, metavar=f"FILE.{kind.lower()}", help=f"write {summary}")
