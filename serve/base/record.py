"""The base class of all validated, frozen data, and helpers for error messages about it."""

import difflib
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from serve.base.errors import InvalidRecord


class Record(BaseModel):
    """Frozen data that refuses unknown keys and suggests the nearest known key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {key!r}; {nearest(str(key), cls.model_fields)}")
        return data

    @classmethod
    def parse(cls, data: Any, source: str) -> Self:
        """Validate `data`. Raises InvalidRecord, which names `source` and lists every fault."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InvalidRecord(f"{source}: {explain(error)}") from None


def nearest(name: str, known: Any) -> str:
    """A hint for an error message: the most similar known name, or all of them."""
    names = [str(item) for item in known]
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(names)) or 'none'}"


def rename_key(data: Any, old: str, new: str) -> Any:
    """What an older version has written under the key `old`, under its name now; other data as they are."""
    if not isinstance(data, Mapping) or old not in data:
        return data
    if new in data:
        raise ValueError(f"{old!r} is the older name of {new!r}; give one of the two")
    return {new if key == old else key: value for key, value in data.items()}


def explain(error: ValidationError) -> str:
    """List every fault of a failed validation with its location."""
    faults = []
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        received = f" (got: {fault['input']!r:.80})" if fault["type"] != "value_error" else ""
        faults.append(f"{place}: {message}{received}" if place else f"{message}{received}")
    return "; ".join(faults)
