"""Outbox: what is in force and not written yet, in a file for the keeper that comes after this one."""

import logging
from collections.abc import Mapping
from pathlib import Path

from serve.base.whole_file import write_whole
from serve.rollout.trail.trail import Change

_log = logging.getLogger("counterweight.controller")


class Outbox:
    """One file, beside the store and not in it. A disk that is full holds up nothing: then only a keeper that
    dies before the store is back loses what it had decided."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "outbox.jsonl"
        self._held: tuple[str, ...] = ()

    def read(self) -> Mapping[str, Change]:
        """By model, what the last keeper left."""
        try:
            lines = self._path.read_text().splitlines() if self._path.exists() else []
            changes = [Change.model_validate_json(line) for line in lines]
        except (OSError, ValueError) as error:
            _log.error("what the last keeper had not written yet cannot be read: %s", error)
            changes = []
        return {change.model: change for change in changes}

    def hold(self, changes: tuple[Change, ...]) -> None:
        """Replace what is in it, whole or not at all. What fails is logged, and is tried with the next."""
        lines = tuple(change.model_dump_json() for change in changes)
        if lines == self._held:
            return
        try:
            write_whole(self._path, "".join(f"{line}\n" for line in lines))
        except OSError as error:
            _log.error("what is in force and not written yet cannot be kept for the next keeper: %s", error)
        else:
            self._held = lines
