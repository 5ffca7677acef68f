"""Reads the limits of a load test from a YAML file and the command line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from loadtests.errors import LoadTestError
from serve.base.record import explain, nearest
from serve.tasks.figure_limits import FigureLimits

Share = Annotated[float, Field(ge=0, lt=1)]


class Limits(FigureLimits):
    """The limits of a load test. Each key names its unit, and shares run from 0 to 1. A limit of None is not
    checked. `qualify` checks those of the quality figures, as a recipe's floor does."""

    # One request in a hundred may take longer.
    p99_ms: Annotated[float, Field(gt=0)] | None = None
    # The share of requests that may fail.
    errors: Annotated[float, Field(gt=0, lt=1)] = 0.01
    # compare: the candidate's median may be above the baseline's by this share.
    slower_by: Share = 0.05
    # soak: median and memory may grow by this share from the first third to the last.
    drift: Annotated[float, Field(gt=0)] = 0.1
    # Price of one core for an hour; without it, no money is calculated.
    price_per_cpu_hour: Annotated[float, Field(ge=0)] | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    # qualify: the request rate of shadow and canary, and the minimum duration of each.
    rate_per_s: Annotated[float, Field(gt=0)] = 20
    duration_s: Annotated[float, Field(gt=0)] = 60
    # qualify: the minimum share of shadowed answers that agree.
    agreement: Annotated[float, Field(gt=0, lt=1)] = 0.98
    # qualify: minimum ratio of the candidate's capacity to the baseline's.
    capacity_ratio: Annotated[float, Field(gt=0)] = 1.0


# Units that people forget to write.
_UNITS = ("ms", "s", "per_s", "per_cpu_hour")


def load_limits(path: Path | None, settings: Iterable[str]) -> Limits:
    """Read the limits from the file; `NAME=VALUE` settings override it. Raises LoadTestError."""
    data: dict[str, Any] = {} if path is None else _read(path)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise LoadTestError(f"--set {setting!r} sets nothing; write --set NAME=VALUE, such as p99_ms=50")
        try:
            data[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise LoadTestError(f"--set {setting!r}: the value is not YAML: {error}") from None
    where = str(path) if path is not None else "--set"
    for name in data:
        if name not in Limits.model_fields:
            raise LoadTestError(f"{where}: no limit is called {name!r}; {_hint(str(name))}")
    try:
        return Limits.model_validate(data)
    except ValidationError as error:
        raise LoadTestError(f"{where}: {explain(error)}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LoadTestError(f"cannot read the limits {path}: {error}") from None
    # PyYAML raises ValueError for something that looks like a date but is not one.
    except (yaml.YAMLError, ValueError) as error:
        raise LoadTestError(f"{path} is not YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise LoadTestError(
            f"{path} holds {type(data).__name__}, expected names with values, such as p99_ms: 50"
        )
    return data


def _hint(name: str) -> str:
    known = Limits.model_fields
    for unit in _UNITS:
        if f"{name}_{unit}" in known:
            return f"its unit is missing: write {name}_{unit}"
    return nearest(name, known)
