"""Notices: aborts that no keeper was there to take, in a folder that all gateways of a server look at."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from serve.base.whole_file import write_whole
from serve.counting.breaker import Trip

_log = logging.getLogger("counterweight.control")


class Notices:
    """One small file for each rollout that was aborted so. It stays: no other rollout has the same name."""

    def __init__(self, folder: Path) -> None:
        """The folder is made with the first notice."""
        self._folder = folder

    def put(self, trip: Trip) -> bool:
        """Let everybody know, whole or not at all; False: it cannot be written, which is logged."""
        path = self._path(trip.rollout)
        if path.exists():
            # Who was first has aborted it.
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(asdict(trip)))
        except OSError as error:
            _log.error("other gateways cannot be told of the abort of %s: %s", trip.rollout, error)
            return False
        return True

    def find(self, rollouts: Iterable[str]) -> list[Trip]:
        """Those of these rollouts that were aborted so."""
        found = []
        for rollout in rollouts:
            try:
                found.append(Trip(**json.loads(self._path(rollout).read_text())))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError) as error:
                _log.error("the abort of %s cannot be read: %s", rollout, error)
        return found

    def _path(self, rollout: str) -> Path:
        return self._folder / f"{quote(rollout, safe='')}.json"
