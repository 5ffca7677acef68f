"""The last entry of each trail, kept outside of the store, so that a cut-off end is detected."""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field

from serve.base.errors import StoreFailed
from serve.base.record import Record

_log = logging.getLogger("counterweight.trail")


class TrailEnd(Record):
    """The last entry of a trail at one time."""

    model: str
    # 0: the trail was empty.
    number: Annotated[int, Field(ge=0)]
    digest: str
    # True: a person has checked the trail and accepts it up to here.
    accepted: bool = False


class Anchor:
    """A file that gets a line for every entry. If lines are missing, as after a full disk, less is detected,
    but no valid trail is rejected."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def heads(self) -> tuple[TrailEnd, ...]:
        """All lines, oldest first. An incomplete line, as after a full disk, is logged and skipped. Raises
        StoreFailed."""
        try:
            lines = self.path.read_text().splitlines() if self.path.exists() else []
        except (OSError, ValueError) as error:
            raise StoreFailed(f"the anchor {self.path} cannot be read: {error}") from None
        heads = []
        for line in filter(None, lines):
            try:
                heads.append(TrailEnd.model_validate_json(line))
            except ValueError:
                _log.warning("the anchor %s has an invalid line: %.80s", self.path, line)
        return tuple(heads)

    def last(self, model: str) -> TrailEnd | None:
        """The last entry of a model's trail."""
        return next((head for head in reversed(self.heads()) if head.model == model), None)

    def accepted(self, model: str) -> TrailEnd | None:
        """The entry up to which a person has accepted a model's trail."""
        matches = (head for head in reversed(self.heads()) if head.model == model and head.accepted)
        return next(matches, None)

    def add(self, head: TrailEnd) -> None:
        """Add a line. A failure is logged."""
        _log.info("%s: entry %d is sealed with %s", head.model, head.number, head.digest)
        try:
            with self.path.open("a") as file:
                # Begin a new line, even if the previous one is incomplete.
                file.write(f"\n{head.model_dump_json()}\n")
        except OSError as error:
            _log.warning("the anchor %s cannot be written: %s", self.path, error)


def unanchored(anchor: Anchor | None, model: str, entries: int) -> str:
    """The warning for a trail without an anchor, as a sentence."""
    where = "there is no anchor" if anchor is None else f"the anchor {anchor.path} has no line for it"
    return f"{model} has {entries} entries, but {where}: a cut-off end would not be detected"
