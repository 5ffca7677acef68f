"""Journal: what one gateway leaves when it dies: its ledgers, and what ran in it.

The gateways of a server have a folder together. A lock in it is held as long as the server stands: when all
of it stops, or is killed at once, nothing that ran in a gateway is to blame."""

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

from serve.counting.census import Census, Watch
from serve.counting.ledger import Account, Ledger, make_file, read_ledger

_log = logging.getLogger("counterweight.journal")
# The files of a gateway: its runs, locked as long as it lives, and a ledger for each rollout.
_RUNS, _LEDGER = ".runs", ".ledger"
_SERVER = "server.lock"
# In the first: names, MODEL/VARIANT, each with the number of its runs under way. What comes after so many
# shares the place of the last, which has no name.
_NAMES, _NAME_BYTES, _CELL_BYTES = 256, 136, 8
_ROW_BYTES = _NAME_BYTES + _CELL_BYTES


class Mark:
    """Stands in the journal as long as a run is under way; from any thread."""

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
    """The journal of a gateway that lives."""

    def __init__(self, folder: Path, gateway: str) -> None:
        """Files go to `folder`. Raises OSError when there is no room."""
        self._folder = folder
        self._gateway = gateway
        self._serial = itertools.count(1)
        self._marks: dict[str, Mark] = {}
        self._turn = threading.Lock()
        # Open, and by that locked, until the process ends.
        self._file = make_file(folder / f"{gateway}{_RUNS}", b"", (_NAMES + 1) * _ROW_BYTES)
        self._runs = mmap.mmap(self._file, 0)

    def mark(self, name: str) -> Mark:
        """What to hold during each run of `name`, MODEL/VARIANT, in this process."""
        if name not in self._marks:
            place = min(len(self._marks), _NAMES)
            cell = place * _ROW_BYTES + _NAME_BYTES
            if place < _NAMES:
                self._runs[cell - _NAME_BYTES : cell] = name.encode().ljust(_NAME_BYTES, b"\0")
            mapped = memoryview(self._runs)[cell : cell + _CELL_BYTES].cast("q")
            self._marks[name] = Mark(mapped, self._turn)
        return self._marks[name]

    def census(self, model: str, watch: Watch) -> Census:
        """What counts for a rollout from now on; where there is no room for a ledger, without one."""
        path = self._folder / f"{self._gateway}.{next(self._serial)}{_LEDGER}"
        header = {"model": model, **watch.model_dump(include={"rollout", "baseline", "candidate"})}
        try:
            return Census(watch, Ledger(path, header))
        except OSError as error:
            _log.warning(
                "what is counted for rollout %s is lost if the gateway dies: %s", watch.rollout, error
            )
            return Census(watch)


def stand(folder: Path) -> int:
    """Make the folder for the gateways of a server, which stands until what is returned is closed. Raises
    OSError when there is no room."""
    folder.mkdir(parents=True)
    return make_file(folder / _SERVER, b"", 1)


def stands(folder: Path) -> bool:
    """Whether the server whose folder it is does."""
    return (folder / _SERVER).exists() and _is_locked(folder / _SERVER)


def clear(folder: Path) -> None:
    """Delete the folder of a server that does not stand any more, unless a journal in it is still of use."""
    if not list(folder.glob(f"*{_LEDGER}")):
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            # Others may have theirs beside it.
            folder.parent.rmdir()


def open_journal(folder: Path, gateway: str) -> Journal | None:
    """The gateway's new journal; None: there is no room for it."""
    try:
        return Journal(folder, gateway)
    except OSError as error:
        _log.warning("this gateway has no journal; if it dies, what it has not told is lost: %s", error)
        return None


def find_dead(folder: Path) -> list[str]:
    """The gateways that have left a journal in `folder` and are gone."""
    return [path.stem for path in sorted(folder.glob(f"*{_RUNS}")) if not _is_locked(path)]


def read_accounts(folder: Path, gateway: str) -> list[Account]:
    """What a gateway that is gone had counted, by rollout."""
    return [read_ledger(path) for path in sorted(folder.glob(f"{gateway}.*{_LEDGER}"))]


def read_running(folder: Path, gateway: str) -> frozenset[str]:
    """What, as MODEL/VARIANT, was being run in its own process when it died."""
    content = (folder / f"{gateway}{_RUNS}").read_bytes()
    rows = struct.iter_unpack(f"{_NAME_BYTES}sq", content)
    return frozenset(name.rstrip(b"\0").decode() for name, runs in rows if name[0] and runs)


def delete_journal(folder: Path, gateway: str) -> None:
    """Nobody will ask for it again."""
    for path in folder.glob(f"{gateway}.*{_LEDGER}*"):
        path.unlink(missing_ok=True)
    # The last, because the others are found by it.
    (folder / f"{gateway}{_RUNS}").unlink(missing_ok=True)
    if (folder / _SERVER).exists() and not stands(folder):
        clear(folder)


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        # Another keeper was there first.
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
