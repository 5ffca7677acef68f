"""Matches the patterns with which a recipe selects layers, such as `encoder.*.query`."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from export.errors import StepFailed
from serve.base.record import nearest


def match(
    patterns: Iterable[str], names: Iterable[str], what: str, told: Iterable[str] | None = None
) -> list[str]:
    """Return the names that match any of the patterns, in their order.

    Raises StepFailed for a pattern that matches nothing; `what` says what the names are, such as
    "modules", and `told` which of them the error lists, if each has several."""
    known = list(names)
    listed = known if told is None else list(told)
    matches: set[str] = set()
    for pattern in patterns:
        fits = [name for name in known if fnmatchcase(name, pattern)]
        if not fits:
            raise StepFailed(
                f"the pattern {pattern!r} matches none of {len(listed)} {what}; {nearest(pattern, listed)}"
            )
        matches.update(fits)
    return [name for name in known if name in matches]
