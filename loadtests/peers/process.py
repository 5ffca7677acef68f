"""ServerProcess: one server under comparison, started as a subprocess and stopped with all it started."""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import ProxyHandler, build_opener

import psutil

from loadtests.errors import LoadTestError

_ROOT = Path(__file__).parents[2]
_READY_S = 180
_STOP_S = 30
# In the environment of everything that a server starts, so that a process whose parent has gone is found too.
_MARK = "COUNTERWEIGHT_BENCH_MARK"


def find_free_port() -> int:
    """A loopback port that nobody listens on, and that nobody is given by chance before the server has it:
    the system hands out ports from 32768 up, and Ray gives its workers those from 10002 to 19999."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


class ServerProcess:
    """Runs `python -m <module> <arguments>` from the checkout's root, as a context."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [
            sys.executable,
            "-m",
            *(part.replace("{port}", str(self.port)) for part in arguments),
        ]
        self._mark = uuid.uuid4().hex
        self._environment = {**os.environ, **environment, _MARK: self._mark}

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            cwd=_ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask it to end; after a while, and for what it leaves behind, do not ask."""
        try:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill_rest()
            self._process.wait()
            self._log.close()

    def wait_until_ready(self) -> None:
        """Return once the server answers that it is ready. Raises LoadTestError with its last words."""
        opener = build_opener(ProxyHandler({}))
        deadline_s = time.monotonic() + _READY_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                raise LoadTestError(
                    f"{self.name} ended with {self._process.returncode}:\n{self._last_words()}"
                )
            try:
                with opener.open(f"{self.url}/v2/health/ready", timeout=5):
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)
        raise LoadTestError(f"{self.name} was not ready within {_READY_S} s:\n{self._last_words()}")

    def processes(self) -> list[psutil.Process]:
        """The server and everything that it started, the orphans too."""
        own = f"{_MARK}={self._mark}".encode()
        found = {process.pid: process for process in psutil.process_iter() if _holds(process, own)}
        if self._process.poll() is None:
            server = psutil.Process(self._process.pid)
            found |= {process.pid: process for process in (server, *server.children(recursive=True))}
        return list(found.values())

    def cpu_s(self) -> dict[tuple[int, float], float]:
        """CPU seconds used so far, by process."""
        used = {}
        for process in self.processes():
            try:
                times = process.cpu_times()
                used[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
        return used

    def _kill_rest(self) -> None:
        deadline_s = time.monotonic() + _STOP_S
        while (rest := self.processes()) and time.monotonic() < deadline_s:
            for process in rest:
                _kill(process)
            time.sleep(0.05)

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace")


def _holds(process: psutil.Process, entry: bytes) -> bool:
    # psutil's own environ() parses every variable of every process; one search is enough here.
    try:
        return entry in Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
