"""The access log: one JSON line per request, written by a separate thread."""

import contextlib
import errno
import logging
import os
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, Unpack

import orjson

from serve.base.errors import ServerFailed

_FLUSH_S = 0.5
_CLOSE_S = 5.0
# About 40 MB of lines that wait while the disk is stuck. Beyond that, the oldest lines are lost.
_MAX_WAITING = 100_000
_FORMAT = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
_log = logging.getLogger("counterweight.access_log")


class AccessLine(TypedDict):
    """The fields of one line; None if a value does not exist."""

    request_id: str
    # The HTTP method, or the gRPC method with its service: inference.GRPCInferenceService/ModelInfer.
    method: str
    # The path of the URL; None for gRPC.
    path: str | None
    # The HTTP status, 499 if the client disconnected before; or the name of the gRPC code.
    status: int | str
    model: str | None
    variant: str | None
    rows: int | None
    # From the first byte of the request to the last byte of the answer.
    duration_ms: float
    queue_ms: float | None
    # Sizes of the bodies.
    bytes_in: int
    bytes_out: int
    # The client's address.
    client: str | None
    trace_id: str | None
    # The class of the error.
    error: str | None


class AccessLog:
    """Appends whole lines to a file; several gateways may append to the same file.

    A line is written within a second. If the file is renamed, a new one is created. If the disk refuses
    writes, lines are lost but no request fails, and the server's log says so once."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`. Raises ServerFailed if this is not possible."""
        try:
            self._file = _open(path)
        except OSError as error:
            raise ServerFailed(f"access log {path} cannot be opened: {error}; name a writable file") from None
        self._path = path
        self._waiting: deque[bytes] = deque(maxlen=_MAX_WAITING)
        self._failing = False
        # Whether the file ends with an incomplete line.
        self._torn = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_until_closed, name="access-log", daemon=True)
        self._thread.start()

    def record(self, **access: Unpack[AccessLine]) -> None:
        """Log a request that has just ended; never waits for the disk."""
        queue_ms = access["queue_ms"]
        line = {
            "time": datetime.now(UTC),
            **access,
            "duration_ms": round(access["duration_ms"], 3),
            "queue_ms": None if queue_ms is None else round(queue_ms, 3),
        }
        self._waiting.append(orjson.dumps(line, option=_FORMAT))

    def close(self) -> None:
        """Write the remaining lines and close the file; does not wait for a stuck disk."""
        self._closing.set()
        self._thread.join(_CLOSE_S)

    def _write_until_closed(self) -> None:
        while not self._closing.wait(_FLUSH_S):
            self._flush()
        self._flush()
        os.close(self._file)

    def _flush(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return
        if len(lines) == _MAX_WAITING:
            _log.error("access log %s: the disk is too slow, lines were lost", self._path)
        try:
            self._follow_rename()
            self._append(b"".join(lines))
        except OSError as error:
            if not self._failing:
                _log.error("access log %s: %s; lines are lost until this is fixed", self._path, error)
            self._failing = True
        else:
            if self._failing:
                _log.warning("access log %s is being written again", self._path)
            self._failing = False

    def _follow_rename(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._file)):
                return
        renamed, self._file = self._file, _open(self._path)
        os.close(renamed)
        self._torn = False

    def _append(self, lines: bytes) -> None:
        # One call, which the kernel keeps apart from those of other processes.
        content = b"\n" + lines if self._torn else lines
        written = os.write(self._file, content)
        self._torn = not content[:written].endswith(b"\n") and (self._torn or written > 0)
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
