"""Locks a model's folder in the repository."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from export.errors import ExportFailed


@contextlib.contextmanager
def locked(home: Path) -> Iterator[Path]:
    """Lock the model's folder, so that only one export runs at a time; removes the folder if it stays
    empty."""
    missing = [folder for folder in (home, *home.parents) if not folder.exists()]
    home.mkdir(parents=True, exist_ok=True)
    handle = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportFailed(f"another export is writing to {home}; wait for it to end") from None
        yield home
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # it holds bundles
                folder.rmdir()
        os.close(handle)
