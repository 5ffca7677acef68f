"""A file with the counts of one gateway for one rollout that the keeper has not acknowledged yet.

The file is mapped into memory, so a count costs no system call, and the kernel keeps the data when the
process is killed. Data is not forced to the disk, so a crash of the whole machine may lose it. The file has
its full size from the start, so that writing to it is fast and cannot fail because the disk is full."""

import fcntl
import json
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# How a request was routed: the revision of the routes, whether a sticky key decided, and the variant.
_Choice = tuple[int, bool, str]
_Numbers = Sequence[int]
# The file has a JSON header that names the rollout, then cells, which are integers. The first two cells are
# the number of the current delta and of the last acknowledged one. Rows follow.
_HEADER_BYTES, _CELL_BYTES = 1024, 8
_NUMBER, _ACKNOWLEDGED, _FIRST_ROW = range(3)
# The last rows are reserved for totals over all buckets.
_ROWS, _RESERVED = 4096, 64
# A row has: whether it is used, what it counts, its requests in flight, and two pages, for deltas with even
# and odd numbers. A page holds the numbers of a `serve.counting.count_delta.Count`.
_USED, _REVISION, _STICKY, _CANDIDATE, _BUCKET, _IN_FLIGHT, _PAGES = range(7)
_PAGE_CELLS = 3
_ROW_CELLS = _PAGES + 2 * _PAGE_CELLS
_put = struct.Struct(f"{_PAGE_CELLS}q").pack_into
_EMPTY = (0,) * _PAGE_CELLS
# Stands for all buckets: the total over all requests with the same routing.
_ALL = -1


class Ledger:
    """Writes the counts of one rollout. Must be used from one thread."""

    def __init__(self, path: Path, header: Mapping[str, str]) -> None:
        """`header` names the model, rollout, baseline and candidate. Raises OSError if there is no space."""
        self._path = path
        self._candidate = header["candidate"]
        self._variants = (header["baseline"], self._candidate)
        # One extra row that is never read: counts without a row of their own are written there.
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
        """Record the start of a request. `counts` has the new totals in the current delta: of all requests
        with the same routing and, if there is a `bucket`, of those whose keys are in it."""
        rows = self._find(choice, bucket)
        # Count before marking in flight: a request must never be in flight without being counted.
        self._write(rows, counts)
        for row in rows:
            self._cells[row + _IN_FLIGHT] += 1

    def end(self, choice: _Choice, bucket: int | None, counts: Sequence[_Numbers]) -> None:
        """Record the end of a request. `counts` has the new totals; empty if they did not change."""
        rows = self._find(choice, bucket)
        # Unmark before counting: a failed request must not count again because it was in flight.
        for row in rows:
            self._cells[row + _IN_FLIGHT] -= 1
        self._write(rows, counts)

    def turn(self, number: int) -> None:
        """Close the delta `number`; the next counts belong to the next delta."""
        self._cells[_NUMBER] = number + 1
        self._page = _page_of(number + 1)

    def acknowledge(self, number: int) -> None:
        """The keeper has stored the delta `number`: its page can be used again."""
        cells = self._cells
        cells[_ACKNOWLEDGED] = number
        page = _page_of(number)
        for key, row in list(self._rows.items()):
            _put(self._bytes, (row + page) * _CELL_BYTES, *_EMPTY)
            if not any(cells[row + _IN_FLIGHT : row + _ROW_CELLS]):
                cells[row + _USED] = False
                self._free.append(self._rows.pop(key))

    def close(self) -> None:
        """Delete the file, because the rollout is over."""
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
    """The counts of one delta for requests with the same routing; with a `bucket`, only of keys in it, if the
    file had space for a row of its own."""

    choice: tuple[int, bool, str]
    bucket: int | None
    numbers: Sequence[int]
    # Requests that had not ended, whatever delta they began in. Set only in the last delta.
    in_flight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The content of a ledger."""

    model: str
    rollout: str
    baseline: str
    candidate: str
    # Deltas that were not acknowledged, by number, in order; the last one was still being counted.
    deltas: Mapping[int, Sequence[Line]]


def read_ledger(path: Path) -> Account:
    """Read the ledger of a gateway that is gone."""
    content = path.read_bytes()
    header = json.loads(content[:_HEADER_BYTES].rstrip(b"\0"))
    cells = memoryview(content)[_HEADER_BYTES:].cast("q")
    numbers = range(cells[_ACKNOWLEDGED] + 1, cells[_NUMBER] + 1)
    rows = [row for row in range(_FIRST_ROW, len(cells), _ROW_CELLS) if cells[row + _USED]]
    deltas = {number: [_line(cells, row, number, header) for row in rows] for number in numbers}
    return Account(**header, deltas=deltas)


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
    """Create a locked file of `size` bytes that begins with `content`. Raises OSError."""
    # Rename at the end: an unlocked file with this name means that its gateway is dead.
    unnamed = path.with_name(f"{path.name}.new")
    file = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        # Without this, the first write to a page could end the process when the disk is full.
        os.posix_fallocate(file, 0, size)
        os.pwrite(file, content, 0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(path)
    except OSError:
        os.close(file)
        unnamed.unlink(missing_ok=True)
        raise
    return file
