"""Helpers that describe a value in an error message."""

import reprlib
from typing import Any

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bytes: "bytes",
    bool: "a boolean",
    int: "a whole number",
    float: "a fraction",
    type(None): "null or missing",
}
_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = 60


def kind(value: Any) -> str:
    """Describe the type of a value in words."""
    return name_kind(type(value))


def name_kind(type_: type) -> str:
    """Describe a type in words."""
    return _KINDS[type_]


def brief(value: Any) -> str:
    """The repr of a value, or the beginning of it; a long repr is never built completely."""
    return _REPR.repr(value)


def shorten(name: str) -> str:
    """Truncate a long `name`: searching a hint for a name of megabytes would take seconds."""
    return name if len(name) <= 80 else f"{name[:77]}..."
