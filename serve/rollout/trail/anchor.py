"""Anchor: how far each trail has come, kept outside of the store, so that an end cut off is noticed."""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field

from serve.base.errors import StoreFailed
from serve.base.record import Record

_log = logging.getLogger("counterweight.trail")


class TrailEnd(Record):
    """The last entry of a trail, when this was written."""

    model: str
    # 0: there was none.
    number: Annotated[int, Field(ge=0)]
    digest: str
    # True: a person has looked, and takes the trail as it is up to here.
    accepted: bool = False


class Anchor:
    """A file to which a line is added for every entry. Where one is missing, as after a full disk, less is
    noticed, and nothing is refused that should not be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def heads(self) -> tuple[TrailEnd, ...]:
        """Everything in it, oldest first; half a line, as a full disk leaves it, is logged. Raises
        StoreFailed."""
        try:
            lines = self.path.read_text().splitlines() if self.path.exists() else []
        except (OSError, ValueError) as error:
            raise StoreFailed(f"the anchor {self.path} cannot be read: {error}") from None
        found = []
        for line in filter(None, lines):
            try:
                found.append(TrailEnd.model_validate_json(line))
            except ValueError:
                _log.warning("the anchor %s has a line that is none: %.80s", self.path, line)
        return tuple(found)

    def last(self, model: str) -> TrailEnd | None:
        """How far a model's trail has come."""
        return next((head for head in reversed(self.heads()) if head.model == model), None)

    def accepted(self, model: str) -> TrailEnd | None:
        """Up to where a person takes a model's trail as it is."""
        mine = (head for head in reversed(self.heads()) if head.model == model and head.accepted)
        return next(mine, None)

    def add(self, head: TrailEnd) -> None:
        """Add a line; what fails is logged."""
        _log.info("%s: entry %d is sealed with %s", head.model, head.number, head.digest)
        try:
            with self.path.open("a") as file:
                # On a line of its own, whatever became of the one before.
                file.write(f"\n{head.model_dump_json()}\n")
        except OSError as error:
            _log.warning("the anchor %s cannot be written: %s", self.path, error)


def unanchored(anchor: Anchor | None, model: str, entries: int) -> str:
    """What is not known of a trail that the anchor does not know, as a sentence."""
    where = "there is no anchor" if anchor is None else f"the anchor {anchor.path} knows nothing of it"
    return f"{model} has {entries} entries, and {where}: whether its end was cut off cannot be told"
