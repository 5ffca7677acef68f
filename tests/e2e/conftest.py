"""A real server for end-to-end tests: `counterweight serve` in a process of its own, always stopped."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from deployments.environment import free_ports

ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 60


class Answer:
    """A status and a decoded JSON body."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.json: Any = json.loads(body)


class Server:
    """A running `counterweight serve`."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, scratch: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        # Where this server, and nobody else, makes its temporary files.
        self.scratch = scratch

    def get(self, path: str) -> Answer:
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask(urllib.request.Request(self.url + path, content, headers))

    def tree(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}"
            try:
                if self.get("/v2/health/ready").status == 200:
                    return
            except (OSError, json.JSONDecodeError):
                pass
            time.sleep(0.25)
        raise AssertionError(f"not ready within {_START_TIMEOUT_S} s")

    def stop(self) -> int:
        """Ask the server to stop; its exit code."""
        self.process.terminate()
        return self.process.wait(_STOP_TIMEOUT_S)

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())


@contextmanager
def running_server(
    repository: Path, *options: str, python: str = sys.executable, folder: Path = ROOT, **env: str
) -> Iterator[Server]:
    """`counterweight serve REPOSITORY`, ready; whatever happens, nothing of it is left afterwards."""
    [port] = free_ports(1)
    command = [python, "-m", "counterweight", "serve", str(repository), "--port", str(port), *options]
    # A short path: Ray puts sockets into it.
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as scratch:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"TMPDIR": scratch} | env,
            start_new_session=True,
        )
        server = Server(process, port, Path(scratch))
        tree: list[psutil.Process] = []
        try:
            server.wait_until_ready()
            tree = server.tree()
            yield server
        finally:
            if process.poll() is None:
                tree = server.tree()
                server.stop()
            for leftover in tree:
                if leftover.is_running():
                    leftover.kill()
