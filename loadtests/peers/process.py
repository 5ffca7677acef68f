"""Starts a server as a subprocess and stops it with all processes that it started."""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import ProxyHandler, build_opener

import psutil

from loadtests.errors import LoadTestError

_ROOT = Path(__file__).parents[2]
_READY_S = 180
_STOP_S = 30
# An environment variable of every process that a server starts, so that orphans are found, too.
_MARK = "COUNTERWEIGHT_BENCH_MARK"
# The protocol's readiness path.
READY = "/v2/health/ready"


def find_free_port() -> int:
    """Return a free loopback port that the system will not hand out before the server uses it.

    The system hands out ports from 32768 up, and Ray gives its workers ports from 10002 to 19999."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


def end_in_order() -> None:
    """Make SIGHUP and SIGTERM raise KeyboardInterrupt as Ctrl-C does, so that servers used as contexts are
    stopped."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


class ServerProcess:
    """Runs one command in a scratch folder, as a context.

    In the command and the environment, `{port}`, `{grpc_port}`, `{metrics_port}` and `{scratch}` are
    replaced."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], ready: str = READY
    ) -> None:
        self.name = name
        self._command = command
        self._variables = environment
        self._ready = ready
        self._mark = uuid.uuid4().hex
        self._running = False

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(prefix="cw-bench-", ignore_cleanup_errors=True)
        ports: set[int] = set()
        while len(ports) < 3:
            ports.add(find_free_port())
        self.port, grpc_port, metrics_port = sorted(ports)
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            "port": self.port,
            "grpc_port": grpc_port,
            "metrics_port": metrics_port,
            "scratch": self._scratch.name,
        }
        variables = {name: value.format(**environment) for name, value in self._variables.items()}
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [part.format(**environment) for part in self._command],
            cwd=self._scratch.name,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **variables, _MARK: self._mark},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Terminate the process; after a timeout, kill it and the processes that it leaves behind. Further
        calls do nothing."""
        if not self._running:
            return
        self._running = False
        try:
            self.thaw()
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill_rest()
            self._process.wait()
            self._log.close()
            self._scratch.cleanup()

    def freeze(self) -> None:
        """Stop all its processes, so that their idle work does not disturb other measurements."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Continue the stopped processes."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def wait_until_ready(self) -> None:
        """Wait until the server is ready. Raises LoadTestError with the last lines of its output."""
        opener = build_opener(ProxyHandler({}))
        deadline_s = time.monotonic() + _READY_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                raise LoadTestError(
                    f"{self.name} ended with {self._process.returncode}:\n{self._last_words()}"
                )
            try:
                with opener.open(f"{self.url}{self._ready}", timeout=5):
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)
        raise LoadTestError(f"{self.name} was not ready within {_READY_S} s:\n{self._last_words()}")

    def processes(self) -> list[psutil.Process]:
        """Return the server and everything that it started, including orphans."""
        own = f"{_MARK}={self._mark}".encode()
        processes = {process.pid: process for process in psutil.process_iter() if _holds(process, own)}
        if self._process.poll() is None:
            server = psutil.Process(self._process.pid)
            processes |= {process.pid: process for process in (server, *server.children(recursive=True))}
        return list(processes.values())

    def cpu_s(self) -> dict[tuple[int, float], float]:
        """Return the CPU seconds used so far, by process."""
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
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace")


def _holds(process: psutil.Process, entry: bytes) -> bool:
    # psutil's environ() parses every variable of every process; one search is enough here.
    try:
        return entry in Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return False
