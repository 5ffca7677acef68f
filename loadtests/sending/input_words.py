"""Reads the words of a command line that say what the requests contain."""

import math
from collections.abc import Iterable
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.sending.payloads import InputOptions


def parse_inputs(path: Path | None, columns: Iterable[str], ranges: Iterable[str], seed: int) -> InputOptions:
    """Return the options of `--inputs FILE`, `--columns INPUT=NAME,...` and `--range INPUT=LOW:HIGH`. Raises
    LoadTestError."""
    parsed_columns = dict(map(_parse_columns, columns))
    parsed_ranges = dict(map(_parse_range, ranges))
    if parsed_columns and path is None:
        raise LoadTestError("--columns says what inputs come from in a file; add --inputs FILE")
    if parsed_ranges and path is not None:
        raise LoadTestError("--range is for inputs that are made, and --inputs names a file; leave out one")
    return InputOptions(path=path, columns=parsed_columns, ranges=parsed_ranges, seed=seed)


def _parse_columns(word: str) -> tuple[str, tuple[str, ...]]:
    name, equals, columns = word.partition("=")
    if not equals or not columns:
        raise LoadTestError(f"--columns {word!r} names nothing; write INPUT=NAME, such as pixels=p*")
    return name, tuple(columns.split(","))


def _parse_range(word: str) -> tuple[str, tuple[float, float]]:
    name, equals, ends = word.partition("=")
    low, colon, high = ends.partition(":")
    try:
        limits = float(low), float(high)
    except ValueError:
        equals = ""
        limits = 0.0, 0.0
    if not equals or not colon or not all(map(math.isfinite, limits)) or limits[0] > limits[1]:
        raise LoadTestError(f"--range {word!r} is no range; write INPUT=LOW:HIGH, such as age=18:90")
    return name, limits
