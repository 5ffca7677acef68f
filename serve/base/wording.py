"""Wording: how error messages name what came."""

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
    """What a value of the wire is, in words."""
    return name_kind(type(value))


def name_kind(type_: type) -> str:
    """What values of this type are, in words."""
    return _KINDS[type_]


def brief(value: Any) -> str:
    """A value of the wire as Python writes it, or the beginning of it, without ever writing all of it."""
    return _REPR.repr(value)


def shorten(name: str) -> str:
    """`name`, cut where nobody reads on: a hint for a name of megabytes would cost seconds."""
    return name if len(name) <= 80 else f"{name[:77]}..."
