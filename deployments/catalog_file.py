"""The newest catalog on disk, for the keeper's successor."""

import logging
from pathlib import Path

from serve.base.atomic_file import write_whole
from serve.engine.catalog import Catalog

_log = logging.getLogger("counterweight.keeper")


class CatalogFile:
    """A file with the catalog. A full disk does not prevent changes from taking effect."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Whether the newest catalog is not saved yet.
        self.behind = False

    def read(self) -> Catalog | None:
        """The last saved catalog; None if there is none."""
        return Catalog.model_validate_json(self._path.read_bytes()) if self._path.exists() else None

    def save(self, catalog: Catalog) -> None:
        """Replace the file, completely or not at all. A failure is logged once; the caller may try again."""
        try:
            write_whole(self._path, catalog.model_dump_json())
        except OSError as error:
            if not self.behind:
                _log.error("the catalog cannot be saved; this will be tried again: %s", error)
            self.behind = True
        else:
            self.behind = False
