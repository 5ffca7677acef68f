"""Spaces: the values that a setting of a step may take in a search. Pure.

A setting is a space if it is written as a range, {from: 0.2, to: 0.8}, or as a list of choices. A list is a
plain value only where the setting itself takes one, such as `layers`; in the arguments of a factory it is a
list of choices, and a list as a value is written as the only choice, [[64, 32]]."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, Self, get_args, get_origin

from pydantic import Field, ValidationError, model_validator

from serve.base.record import Record, explain

Settings = Mapping[str, Any]
_RANGE = frozenset({"from", "to", "log", "step"})


class Range(Record):
    """All numbers between two, both included; whole numbers if both ends are whole."""

    low: float | int = Field(alias="from")
    high: float | int = Field(alias="to")
    # Whether equal factors are equally likely, as suits a learning rate.
    log: bool = False
    # The distance between two values; None: any number, or every whole number.
    step: float | int | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in _RANGE:
                    raise ValueError(f"unknown key {key!r} of a range; known: {', '.join(sorted(_RANGE))}")
        return data

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"the range from {self.low} to {self.high} is empty; `from` must be below `to`")
        if self.log and self.low <= 0:
            raise ValueError(f"a range with `log` starts above 0, and this one at {self.low}")
        if self.log and self.step is not None:
            raise ValueError("a range has either `log` or `step`")
        return self

    @property
    def whole(self) -> bool:
        """Whether all its values are whole numbers."""
        ends = (self.low, self.high, 1 if self.step is None else self.step)
        return all(isinstance(number, int) for number in ends)

    @property
    def finite(self) -> bool:
        """Whether its values can be counted."""
        return self.whole or self.step is not None


class Chooser(Protocol):
    """Chooses values by name, such as an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: Any = None, log: bool = False
    ) -> float:
        """Return a number of a range."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number of a range."""


def is_range(value: Any) -> bool:
    """Whether a value is written as a range."""
    return isinstance(value, Mapping) and {"from", "to"} <= set(value)


def find_lists(kind: type[Record], place: str = "") -> frozenset[str]:
    """Return the paths of the settings of a step, such as "recover.freeze", whose value is itself a list."""
    found: set[str] = set()
    for name, field in kind.model_fields.items():
        types = (field.annotation, *get_args(field.annotation))
        if any(get_origin(each) is tuple for each in types):
            found.add(f"{place}{name}")
        for each in types:
            if isinstance(each, type) and issubclass(each, Record):
                found |= find_lists(each, f"{place}{name}.")
    return frozenset(found)


def _is_space(path: str, value: Any, lists: Collection[str]) -> bool:
    """Whether the value of the setting at `path` is a space rather than one value."""
    return is_range(value) or (isinstance(value, list | tuple) and path not in lists)


def find_spaces(
    settings: Settings, lists: Collection[str] = (), place: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield each space within these settings with its path, such as "student.arguments.depth".

    `lists` are the paths whose value is itself a list."""
    for name, value in settings.items():
        path = f"{place}{name}"
        if _is_space(path, value, lists):
            yield path, value
        elif isinstance(value, Mapping):
            yield from find_spaces(value, lists, f"{path}.")


def read_range(path: str, value: Settings) -> Range:
    """Return the range. Raises ValueError, which names its path."""
    try:
        return Range.model_validate(value)
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from None


def require_spaces(settings: Settings, finite: bool, lists: Collection[str] = ()) -> None:
    """Raise ValueError unless all spaces within these settings have values; `finite`: that can be counted;
    `lists` are the paths whose value is itself a list."""
    for path, value in find_spaces(settings, lists):
        if is_range(value):
            span = read_range(path, value)
            if finite and not span.finite:
                raise ValueError(
                    f"{path}: the sampler `grid` tries every value, and there is no end of numbers from "
                    f"{span.low} to {span.high}; add a `step`, or list the choices"
                )
        elif not value:
            raise ValueError(f"{path}: the list of choices is empty; name at least one")


def choose_settings(
    settings: Settings, chooser: Chooser, place: str, lists: Collection[str] = ()
) -> dict[str, Any]:
    """Return the settings with one value in place of each space; `place` begins the names of the choices, and
    `lists` are the paths whose value is itself a list."""

    def choose(path: str, value: Any) -> Any:
        if _is_space(path, value, lists):
            return _choose(f"{place}.{path}", value, chooser)
        if isinstance(value, Mapping):
            return {name: choose(f"{path}.{name}", each) for name, each in value.items()}
        return value

    return {name: choose(name, value) for name, value in settings.items()}


def _choose(path: str, value: Any, chooser: Chooser) -> Any:
    if not is_range(value):
        return choose_one(path, value, chooser)
    span = read_range(path, value)
    if span.whole:
        step = 1 if span.step is None else int(span.step)
        return chooser.suggest_int(path, int(span.low), int(span.high), step=step, log=span.log)
    return chooser.suggest_float(path, span.low, span.high, step=span.step, log=span.log)


def choose_one(path: str, choices: Any, chooser: Chooser) -> Any:
    """Return one of the choices, which may be any JSON."""
    plain: Callable[[Any], bool] = lambda value: isinstance(value, str | int | float | bool | None)  # noqa: E731
    if all(map(plain, choices)):
        return chooser.suggest_categorical(path, list(choices))
    return json.loads(chooser.suggest_categorical(path, [json.dumps(choice) for choice in choices]))
