"""Patterns: how a recipe names layers: `encoder.*.query`, where `*` stands for any characters."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from export.errors import StepFailed
from serve.base.record import nearest


def match(patterns: Iterable[str], names: Iterable[str], what: str) -> list[str]:
    """The names that any of the patterns fits, in their order. Raises StepFailed for a pattern that fits
    none: `what` says what the names are, such as "modules"."""
    known = list(names)
    found: set[str] = set()
    for pattern in patterns:
        fits = [name for name in known if fnmatchcase(name, pattern)]
        if not fits:
            raise StepFailed(
                f"the pattern {pattern!r} fits none of {len(known)} {what}; {nearest(pattern, known)}"
            )
        found.update(fits)
    return [name for name in known if name in found]
