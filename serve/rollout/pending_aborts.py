"""Aborts that no keeper could accept, as files in a folder that all gateways of a server read."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from serve.base.atomic_file import write_whole
from serve.counting.breaker import Trip

_log = logging.getLogger("counterweight.control")


class PendingAborts:
    """One small file per aborted rollout. It stays, because names of rollouts are unique."""

    def __init__(self, folder: Path) -> None:
        """The folder is created with the first notice."""
        self._folder = folder

    def put(self, trip: Trip) -> bool:
        """Write a notice, completely or not at all. Returns False after logging an error if this fails."""
        path = self._path(trip.rollout)
        if path.exists():
            # Somebody else has already aborted it.
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(asdict(trip)))
        except OSError as error:
            _log.error("other gateways cannot be notified of the abort of %s: %s", trip.rollout, error)
            return False
        return True

    def find(self, rollouts: Iterable[str]) -> list[Trip]:
        """The notices for these rollouts."""
        trips = []
        for rollout in rollouts:
            try:
                trips.append(Trip(**json.loads(self._path(rollout).read_text())))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError) as error:
                _log.error("the abort of %s cannot be read: %s", rollout, error)
        return trips

    def _path(self, rollout: str) -> Path:
        return self._folder / f"{quote(rollout, safe='')}.json"
