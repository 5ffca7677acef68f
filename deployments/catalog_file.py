"""CatalogFile: the newest catalog on disk, for the keeper that comes after this one."""

import logging
from pathlib import Path

from serve.base.whole_file import write_whole
from serve.engine.catalog import Catalog

_log = logging.getLogger("counterweight.keeper")


class CatalogFile:
    """One file. A disk that is full keeps nothing from being in force."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Whether the newest catalog could not be saved.
        self.behind = False

    def read(self) -> Catalog | None:
        """What was saved last; None: nothing."""
        return Catalog.model_validate_json(self._path.read_bytes()) if self._path.exists() else None

    def save(self, catalog: Catalog) -> None:
        """Replace what is there, whole or not at all. What fails is logged, once, and may be tried again."""
        try:
            write_whole(self._path, catalog.model_dump_json())
        except OSError as error:
            if not self.behind:
                _log.error("the catalog cannot be saved, and will be tried again: %s", error)
            self.behind = True
        else:
            self.behind = False
