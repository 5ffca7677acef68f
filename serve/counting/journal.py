"""The files that a gateway leaves when it dies: its ledgers, and the names of the variants it was running.

The gateways of a server share a folder. The server holds a lock in it while it runs. If the whole server has
stopped or was killed, no variant is blamed for the death of a gateway."""

import fcntl
import itertools
import logging
import mmap
import os
import shutil
import struct
import threading
from contextlib import suppress
from pathlib import Path

from serve.counting.ledger import Account, Ledger, make_file, read_ledger
from serve.counting.rollout_counter import RolloutCounter, Watch

_log = logging.getLogger("counterweight.journal")
# The files of a gateway: its runs, locked while it lives, and one ledger per rollout.
_RUNS, _LEDGER = ".runs", ".ledger"
_SERVER = "server.lock"
# The runs file has rows of a name, MODEL/VARIANT, and the number of its runs in progress. Names beyond this
# number share a last row without a name.
_NAMES, _NAME_BYTES, _CELL_BYTES = 256, 136, 8
_ROW_BYTES = _NAME_BYTES + _CELL_BYTES


class Mark:
    """Marks a run in the journal while it is in progress; can be used from any thread."""

    def __init__(self, cell: memoryview, turn: threading.Lock) -> None:
        self._cell = cell
        self._turn = turn

    def __enter__(self) -> None:
        with self._turn:
            self._cell[0] += 1

    def __exit__(self, *error: object) -> None:
        with self._turn:
            self._cell[0] -= 1


class Journal:
    """The journal of a running gateway."""

    def __init__(self, folder: Path, gateway: str) -> None:
        """Create the files in `folder`. Raises OSError if there is no space."""
        self._folder = folder
        self._gateway = gateway
        self._serial = itertools.count(1)
        self._marks: dict[str, Mark] = {}
        self._turn = threading.Lock()
        # Kept open, and thereby locked, until the process ends.
        self._file = make_file(folder / f"{gateway}{_RUNS}", b"", (_NAMES + 1) * _ROW_BYTES)
        self._runs = mmap.mmap(self._file, 0)

    def mark(self, name: str) -> Mark:
        """A context manager to hold during each run of `name`, MODEL/VARIANT, in this process."""
        if name not in self._marks:
            place = min(len(self._marks), _NAMES)
            cell = place * _ROW_BYTES + _NAME_BYTES
            if place < _NAMES:
                self._runs[cell - _NAME_BYTES : cell] = name.encode().ljust(_NAME_BYTES, b"\0")
            mapped = memoryview(self._runs)[cell : cell + _CELL_BYTES].cast("q")
            self._marks[name] = Mark(mapped, self._turn)
        return self._marks[name]

    def counter(self, model: str, watch: Watch) -> RolloutCounter:
        """A new counter for a rollout; without a ledger if there is no space for one."""
        path = self._folder / f"{self._gateway}.{next(self._serial)}{_LEDGER}"
        header = {"model": model, **watch.model_dump(include={"rollout", "baseline", "candidate"})}
        try:
            return RolloutCounter(watch, Ledger(path, header))
        except OSError as error:
            _log.warning(
                "the counts of rollout %s will be lost if this gateway dies: %s", watch.rollout, error
            )
            return RolloutCounter(watch)


def lock_folder(folder: Path) -> int:
    """Create and lock the folder for the gateways of a server. The lock is held until the returned file is
    closed. Raises OSError if there is no space."""
    folder.mkdir(parents=True)
    return make_file(folder / _SERVER, b"", 1)


def is_in_use(folder: Path) -> bool:
    """Whether the server that owns this folder is running."""
    return (folder / _SERVER).exists() and _is_locked(folder / _SERVER)


def clear(folder: Path) -> None:
    """Delete the folder of a server that has ended, unless it still has journals."""
    if not list(folder.glob(f"*{_LEDGER}")):
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            # Other servers may have folders beside it.
            folder.parent.rmdir()


def open_journal(folder: Path, gateway: str) -> Journal | None:
    """Create the gateway's journal; None if there is no space."""
    try:
        return Journal(folder, gateway)
    except OSError as error:
        _log.warning(
            "this gateway has no journal; counts that it has not reported are lost if it dies: %s", error
        )
        return None


def find_dead(folder: Path) -> list[str]:
    """The gateways that left a journal in `folder` and are gone."""
    return [path.stem for path in sorted(folder.glob(f"*{_RUNS}")) if not _is_locked(path)]


def read_accounts(folder: Path, gateway: str) -> list[Account]:
    """The counts of a gateway that is gone, by rollout."""
    return [read_ledger(path) for path in sorted(folder.glob(f"{gateway}.*{_LEDGER}"))]


def read_running(folder: Path, gateway: str) -> frozenset[str]:
    """The variants, as MODEL/VARIANT, that were running in the gateway's process when it died."""
    content = (folder / f"{gateway}{_RUNS}").read_bytes()
    rows = struct.iter_unpack(f"{_NAME_BYTES}sq", content)
    return frozenset(name.rstrip(b"\0").decode() for name, runs in rows if name[0] and runs)


def delete_journal(folder: Path, gateway: str) -> None:
    """Delete the journal of a gateway."""
    for path in folder.glob(f"{gateway}.*{_LEDGER}*"):
        path.unlink(missing_ok=True)
    # Delete this file last, because the journal is found by it.
    (folder / f"{gateway}{_RUNS}").unlink(missing_ok=True)
    if (folder / _SERVER).exists() and not is_in_use(folder):
        clear(folder)


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        # Another keeper has already deleted it.
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
