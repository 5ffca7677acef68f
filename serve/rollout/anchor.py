"""Anchor: how far each trail has come, kept outside of the store, so that an end cut off is noticed."""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field

from serve.errors import StoreFailed
from serve.record import Record

_log = logging.getLogger("counterweight.trail")


class Head(Record):
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

    def heads(self) -> tuple[Head, ...]:
        """Everything in it, oldest first. Raises StoreFailed."""
        try:
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            return tuple(Head.model_validate_json(line) for line in lines if line)
        except (OSError, ValueError) as error:
            raise StoreFailed(f"the anchor {self.path} cannot be read: {error}") from None

    def last(self, model: str) -> Head | None:
        """How far a model's trail has come."""
        return next((head for head in reversed(self.heads()) if head.model == model), None)

    def accepted(self, model: str) -> Head | None:
        """Up to where a person takes a model's trail as it is."""
        mine = (head for head in reversed(self.heads()) if head.model == model and head.accepted)
        return next(mine, None)

    def add(self, head: Head) -> None:
        """Add a line; what fails is logged."""
        _log.info("%s: entry %d is sealed with %s", head.model, head.number, head.digest)
        try:
            with self.path.open("a") as file:
                file.write(head.model_dump_json() + "\n")
        except OSError as error:
            _log.warning("the anchor %s cannot be written: %s", self.path, error)
