import json
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serve.base.errors import ServerFailed
from serve.observe.access_log import AccessLine, AccessLog

ACCESS: AccessLine = {
    "request_id": "a",
    "method": "POST",
    "path": "/v2/models/linear/infer",
    "status": 200,
    "model": "linear",
    "variant": "light",
    "rows": 2,
    "duration_ms": 1.23456,
    "queue_ms": 0.04321,
    "bytes_in": 100,
    "bytes_out": 90,
    "client": "127.0.0.1",
    "trace_id": None,
    "error": None,
}


def access(request_id: str) -> AccessLine:
    return {**ACCESS, "request_id": request_id}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ids(path: Path) -> list[str]:
    return [line["request_id"] for line in lines(path)] if path.exists() else []


def wait_until(true: Callable[[], bool]) -> None:
    """Wait up to a minute for the condition: the log writes within a second, but a busy machine may be
    slow."""
    deadline = time.monotonic() + 60
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()


def test_a_line_says_everything_of_its_request(tmp_path: Path) -> None:
    """A line has all fields, with durations to the microsecond and the time of the request's end."""
    log = AccessLog(tmp_path / "log")
    before = datetime.now(UTC)
    log.record(**ACCESS)
    log.close()
    (line,) = lines(tmp_path / "log")
    assert before <= datetime.fromisoformat(line.pop("time")) <= datetime.now(UTC)
    assert line == {**ACCESS, "duration_ms": 1.235, "queue_ms": 0.043}


def test_a_line_is_written_by_itself(tmp_path: Path) -> None:
    """A line is written to the file while the server runs."""
    log = AccessLog(tmp_path / "log")
    try:
        log.record(**ACCESS)
        wait_until(lambda: ids(tmp_path / "log") == ["a"])
    finally:
        log.close()


def test_a_name_with_a_line_break_stays_on_its_line(tmp_path: Path) -> None:
    """A line break in a request id is escaped."""
    log = AccessLog(tmp_path / "log")
    log.record(**access('a"}\n{"forged": true}'))
    log.close()
    assert ids(tmp_path / "log") == ['a"}\n{"forged": true}']


def test_several_gateways_may_write_one_file(tmp_path: Path) -> None:
    """Three logs on one file write each line whole."""
    logs = [AccessLog(tmp_path / "log") for _ in range(3)]

    def write(number: int) -> None:
        for count in range(500):
            logs[number].record(**access(f"{number}-{count}"))
        logs[number].close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ids(tmp_path / "log")) == {f"{number}-{count}" for number in range(3) for count in range(500)}


def test_what_stood_in_the_file_stays(tmp_path: Path) -> None:
    """A new log appends to the file."""
    for request_id in ("a", "b"):
        log = AccessLog(tmp_path / "log")
        log.record(**access(request_id))
        log.close()
    assert ids(tmp_path / "log") == ["a", "b"]


def test_a_renamed_file_is_let_go(tmp_path: Path) -> None:
    """After the file is renamed, the next line starts a new file."""
    log = AccessLog(tmp_path / "log")
    try:
        log.record(**access("a"))
        wait_until(lambda: ids(tmp_path / "log") == ["a"])
        (tmp_path / "log").rename(tmp_path / "log.1")
        log.record(**access("b"))
    finally:
        log.close()
    assert (ids(tmp_path / "log.1"), ids(tmp_path / "log")) == (["a"], ["b"])


def test_a_full_disk_costs_lines_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk lines are lost, and one message is logged for several of them."""
    log = AccessLog(Path("/dev/full"))
    log.record(**ACCESS)
    wait_until(lambda: bool(caplog.records))
    log.record(**ACCESS)
    log.close()
    (said,) = caplog.records
    assert said.levelno == logging.ERROR
    assert "access log /dev/full: [Errno 28] No space left on device; lines are lost" in said.getMessage()


def test_a_line_that_was_written_in_part_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a line that was written in part, the next one starts on a new line."""
    log = AccessLog(tmp_path / "log")
    write, refused = os.write, threading.Event()

    def write_in_part(file: int, content: bytes) -> int:
        refused.set()
        return write(file, content[:20])

    monkeypatch.setattr("serve.observe.access_log.os.write", write_in_part)
    log.record(**access("a"))
    assert refused.wait(2)
    monkeypatch.undo()
    log.record(**access("b"))
    log.close()
    torn, whole = (tmp_path / "log").read_text().splitlines()
    assert len(torn) == 20
    assert json.loads(whole)["request_id"] == "b"


def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path) -> None:
    """A log file that cannot be opened is an error at the start."""
    with pytest.raises(ServerFailed, match=r"cannot be opened: .*name a writable file"):
        AccessLog(tmp_path / "missing" / "log")
