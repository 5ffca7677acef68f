"""Limits: what a load test asks of a model, from a YAML file and from the command line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from loadtests.errors import LoadTestError
from serve.base.record import Record, explain, nearest

Share = Annotated[float, Field(ge=0, lt=1)]


class Limits(Record):
    """Every key carries its unit; a share runs from 0 to 1. What is None is not asked."""

    # One request in a hundred may take longer.
    p99_ms: Annotated[float, Field(gt=0)] | None = None
    # The share of requests that may fail.
    errors: Annotated[float, Field(gt=0, lt=1)] = 0.01
    # compare: the candidate's median may be above the baseline's by this share.
    slower_by: Share = 0.05
    # soak: median and memory may grow by this share from the first third to the last.
    drift: Annotated[float, Field(gt=0)] = 0.1
    # Of one core for an hour; without it no money is reckoned.
    price_per_cpu_hour: Annotated[float, Field(ge=0)] | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    # qualify: the load of shadow and canary, and how long each is.
    rate_per_s: Annotated[float, Field(gt=0)] = 20
    duration_s: Annotated[float, Field(gt=0)] = 60
    # qualify: the share of shadowed answers that must be alike.
    agreement: Annotated[float, Field(gt=0, lt=1)] = 0.98
    # qualify: how far held-out accuracy may lie below the baseline's; None: the recipe's floor says enough.
    accuracy_drop: Share | None = None
    # qualify: the candidate's capacity over the baseline's.
    capacity_ratio: Annotated[float, Field(gt=0)] = 1.0


# What people write without its unit.
_UNITS = ("ms", "s", "per_s", "per_cpu_hour")


def load_limits(path: Path | None, settings: Iterable[str]) -> Limits:
    """The limits of a file, and over them those of `NAME=VALUE` words. Raises LoadTestError."""
    data: dict[str, Any] = {} if path is None else _read(path)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise LoadTestError(f"--set {setting!r} sets nothing; write --set NAME=VALUE, such as p99_ms=50")
        try:
            data[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise LoadTestError(f"--set {setting!r}: the value is no YAML: {error}") from None
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
    # What looks like a date and is none is a ValueError.
    except (yaml.YAMLError, ValueError) as error:
        raise LoadTestError(f"{path} is no YAML: {error}") from None
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
