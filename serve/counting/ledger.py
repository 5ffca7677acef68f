"""Ledger: one gateway's counts for one rollout that are not acknowledged yet, in a file that outlives it.

The file is mapped into memory: a count costs no system call, and the kernel keeps what was written when the
process is killed. Nothing is forced to the disk: a crash of the whole machine may lose it. The file has its
whole size from the start, so that neither time nor a full disk can do harm later."""

import fcntl
import json
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# How many requests were chosen by these routes' revision, by a sticky key or not, for this variant.
_Choice = tuple[int, bool, str]
_Numbers = Sequence[int]
# The file: JSON that says whose counts these are, then cells, which are whole numbers. The first two are the
# number of the sheet that is being counted, and of the last one that was acknowledged; then come rows.
_HEADER_BYTES, _CELL_BYTES = 1024, 8
_NUMBER, _ACKNOWLEDGED, _FIRST_ROW = range(3)
# The last few rows are not for single buckets.
_ROWS, _RESERVED = 4096, 64
# A row: whether it is in use, what it counts, its requests that have not ended yet, and two pages, for the
# sheets of even and of odd numbers. A page holds what a count consists of: see `serve.counting.census.Count`.
_USED, _REVISION, _STICKY, _CANDIDATE, _BUCKET, _IN_FLIGHT, _PAGES = range(7)
_PAGE_CELLS = 3
_ROW_CELLS = _PAGES + 2 * _PAGE_CELLS
_put = struct.Struct(f"{_PAGE_CELLS}q").pack_into
_EMPTY = (0,) * _PAGE_CELLS
# In the place of a bucket: all requests that were chosen alike, whatever their keys.
_ALL = -1


class Ledger:
    """Counts of one rollout; used from one thread."""

    def __init__(self, path: Path, header: Mapping[str, str]) -> None:
        """`header` names the model, rollout, baseline and candidate. Raises OSError when there is no room."""
        self._path = path
        self._candidate = header["candidate"]
        self._variants = (header["baseline"], self._candidate)
        # There is one row more, never in use: what must not count, or finds no room, is written there.
        self._nowhere = _FIRST_ROW + _ROWS * _ROW_CELLS
        content = json.dumps(header).encode().ljust(_HEADER_BYTES, b"\0")
        file = make_file(path, content, _HEADER_BYTES + (self._nowhere + _ROW_CELLS) * _CELL_BYTES)
        self._bytes = memoryview(mmap.mmap(file, 0))[_HEADER_BYTES:]
        self._cells = self._bytes.cast("q")
        os.close(file)
        self._free = list(range(_FIRST_ROW, self._nowhere, _ROW_CELLS))
        self._rows: dict[tuple[_Choice, int | None], int] = {}
        self.turn(0)

    def begin(self, choice: _Choice, bucket: int | None, counts: Sequence[_Numbers]) -> None:
        """A request was admitted. `counts` are what all that were chosen like it come to now, on the sheet
        that is being counted, and if there is a `bucket`, what those come to whose keys are in it."""
        rows = self._find(choice, bucket)
        # In this order: whenever the process is killed, nobody is in flight who was never counted.
        self._write(rows, counts)
        for row in rows:
            self._cells[row + _IN_FLIGHT] += 1

    def end(self, choice: _Choice, bucket: int | None, counts: Sequence[_Numbers]) -> None:
        """A request has ended, and `counts` are what has followed from it; empty: they are as they were."""
        rows = self._find(choice, bucket)
        # In this order: nobody fails twice, once by itself and once for being in flight.
        for row in rows:
            self._cells[row + _IN_FLIGHT] -= 1
        self._write(rows, counts)

    def turn(self, number: int) -> None:
        """The sheet of this number is whole: from now on the next one is counted."""
        self._cells[_NUMBER] = number + 1
        self._page = _page_of(number + 1)

    def acknowledge(self, number: int) -> None:
        """The sheet of this number is written down: its page is free for the one after the next."""
        cells = self._cells
        cells[_ACKNOWLEDGED] = number
        page = _page_of(number)
        for key, row in list(self._rows.items()):
            _put(self._bytes, (row + page) * _CELL_BYTES, *_EMPTY)
            if not any(cells[row + _IN_FLIGHT : row + _ROW_CELLS]):
                cells[row + _USED] = False
                self._free.append(self._rows.pop(key))

    def close(self) -> None:
        """The rollout is over: nobody will ask."""
        self._path.unlink(missing_ok=True)

    def _write(self, rows: Sequence[int], counts: Sequence[_Numbers]) -> None:
        for row, numbers in zip(rows, counts, strict=False):
            _put(self._bytes, (row + self._page) * _CELL_BYTES, *numbers)

    def _find(self, choice: _Choice, bucket: int | None) -> Sequence[int]:
        known = self._rows
        row = known.get((choice, None)) or self._new_row(choice, None)
        if bucket is None:
            return (row,)
        return row, known.get((choice, bucket)) or self._new_row(choice, bucket)

    def _new_row(self, choice: _Choice, bucket: int | None) -> int:
        revision, sticky, variant = choice
        room = len(self._free) > (0 if bucket is None else _RESERVED)
        if not room or variant not in self._variants:
            return self._nowhere
        row = self._rows[choice, bucket] = self._free.pop()
        self._cells[row + _REVISION] = revision
        self._cells[row + _STICKY] = sticky
        self._cells[row + _CANDIDATE] = variant == self._candidate
        self._cells[row + _BUCKET] = _ALL if bucket is None else bucket
        self._cells[row + _USED] = True
        return row


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Requests of one sheet that were chosen alike; `bucket`: and whose keys are in it, as far as there was
    room for each bucket's own."""

    choice: tuple[int, bool, str]
    bucket: int | None
    numbers: Sequence[int]
    # Whatever sheet they began in: they had not ended. Stands in the last sheet.
    in_flight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What a ledger holds."""

    model: str
    rollout: str
    baseline: str
    candidate: str
    # By number, in order: those that were not acknowledged; the last was still being counted.
    sheets: Mapping[int, Sequence[Line]]


def read_ledger(path: Path) -> Account:
    """What a gateway that is gone had counted."""
    content = path.read_bytes()
    header = json.loads(content[:_HEADER_BYTES].rstrip(b"\0"))
    cells = memoryview(content)[_HEADER_BYTES:].cast("q")
    numbers = range(cells[_ACKNOWLEDGED] + 1, cells[_NUMBER] + 1)
    rows = [row for row in range(_FIRST_ROW, len(cells), _ROW_CELLS) if cells[row + _USED]]
    sheets = {number: [_line(cells, row, number, header) for row in rows] for number in numbers}
    return Account(**header, sheets=sheets)


def _line(cells: memoryview, row: int, number: int, header: Mapping[str, str]) -> Line:
    page = row + _page_of(number)
    variant = header["candidate" if cells[row + _CANDIDATE] else "baseline"]
    bucket = cells[row + _BUCKET]
    return Line(
        choice=(cells[row + _REVISION], bool(cells[row + _STICKY]), variant),
        bucket=None if bucket == _ALL else bucket,
        numbers=cells[page : page + _PAGE_CELLS].tolist(),
        in_flight=cells[row + _IN_FLIGHT] if number == cells[_NUMBER] else 0,
    )


def _page_of(number: int) -> int:
    return _PAGES + number % 2 * _PAGE_CELLS


def make_file(path: Path, content: bytes, size: int) -> int:
    """A new file of `size` bytes that begins with `content`, open and locked. Raises OSError."""
    # It gets its name when all is done: who finds it unlocked takes its gateway for dead.
    unnamed = path.with_name(f"{path.name}.new")
    file = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        # A page that finds no room when it is first written to would end the process.
        os.posix_fallocate(file, 0, size)
        os.pwrite(file, content, 0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(path)
    except OSError:
        os.close(file)
        unnamed.unlink(missing_ok=True)
        raise
    return file
