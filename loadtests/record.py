"""Record: the frozen, validated data of this room, which imports none of the others."""

import difflib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError


class Record(BaseModel):
    """Frozen data that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the known name that `name` was probably meant to be, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"


def explain(error: ValidationError) -> str:
    """Every fault of a failed validation, each with the place where it stands."""
    faults = []
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        faults.append(f"{place}: {fault['msg']} (came: {fault['input']!r:.80})")
    return "; ".join(faults)
