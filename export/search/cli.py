"""Runs the `counterweight search` command."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600}


def search(arguments: list[str]) -> int:
    """Run the command. The exit code is 0, or 1 if no variant is faster than the baseline and within the
    floor. Raises CounterweightError."""
    options = _read_options(arguments)

    # These imports are slow, and --help does not need them.
    from export.search.describe_search import describe_outcome, list_lines
    from export.search.run_search import run_search

    outcome = run_search(options.recipe, options.out, options.budget, options.workers)
    if options.json:
        sys.stdout.write(json.dumps(describe_outcome(outcome), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(list_lines(outcome)) + "\n")
    return 0 if outcome.winner else 1


def _read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="counterweight search",
        description="Look for the lightest variant within a recipe's quality floor: find out what can pay, "
        "try variants on the search split until the budget is spent, and prove the best ones on the held-out "
        "rows. A search that was ended goes on where it stopped.",
        epilog="example: counterweight search export/recipes/digits.yaml --budget 10m",
    )
    parser.add_argument(
        "recipe", type=Path, metavar="RECIPE.yaml", help="the recipe, with or without `search`"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("models"), help="the repository to write to (default: models)"
    )
    parser.add_argument(
        "--budget",
        type=_read_duration,
        metavar="TIME",
        help="how long to search in all, such as 90s, 30m or 2h (default: the recipe's, or 30m)",
    )
    parser.add_argument(
        "--workers", type=_read_workers, default=1, metavar="N", help="trials at the same time (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    return parser.parse_args(arguments)


def _read_duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, such as 90s, 30m or 2h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _read_workers(text: str) -> int:
    count: Any = int(text) if text.isdigit() else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers; give 1 or more")
    return int(count)
