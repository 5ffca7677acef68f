"""A file with changes that are in force and not written yet, for the next keeper."""

import logging
from collections.abc import Mapping
from pathlib import Path

from serve.base.atomic_file import write_whole
from serve.rollout.trail.trail import Change

_log = logging.getLogger("counterweight.controller")


class Outbox:
    """One file beside the store. A full disk blocks nothing; only if the keeper also dies before the store is
    back are its unwritten decisions lost."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "outbox.jsonl"
        self._held: tuple[str, ...] = ()

    def read(self) -> Mapping[str, Change]:
        """The changes that the last keeper left, by model."""
        try:
            lines = self._path.read_text().splitlines() if self._path.exists() else []
            changes = [Change.model_validate_json(line) for line in lines]
        except (OSError, ValueError) as error:
            _log.error("the unwritten changes of the last keeper cannot be read: %s", error)
            changes = []
        return {change.model: change for change in changes}

    def hold(self, changes: tuple[Change, ...]) -> None:
        """Replace the content, completely or not at all. A failure is logged and tried again with the next
        change."""
        lines = tuple(change.model_dump_json() for change in changes)
        if lines == self._held:
            return
        try:
            write_whole(self._path, "".join(f"{line}\n" for line in lines))
        except OSError as error:
            _log.error("unwritten changes cannot be saved for the next keeper: %s", error)
        else:
            self._held = lines
