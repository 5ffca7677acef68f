"""A real server for end-to-end tests: `counterweight serve` in a process of its own, always stopped."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

import psutil

from deployments.ports import free_ports

ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 300
_STOP_TIMEOUT_S = 120


class Answer:
    """A status, headers and a decoded JSON body."""

    def __init__(self, status: int, headers: "Message[str, str]", body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.json: Any = json.loads(body)


class Server:
    """A running `counterweight serve`."""

    def __init__(self, process: "subprocess.Popen[bytes]", ports: list[int], scratch: Path) -> None:
        self.process = process
        self.port, self.grpc_port = ports
        self.url = f"http://127.0.0.1:{self.port}"
        # The folder in which only this server makes its temporary files.
        self.scratch = scratch

    def get(self, path: str) -> Answer:
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask(urllib.request.Request(self.url + path, content, headers))

    def load(self, model: str, variant: str | None = None) -> Answer:
        """Load a variant, or all of a model, from disk."""
        return self._change("load", model, variant)

    def unload(self, model: str, variant: str | None = None) -> Answer:
        """Unload a variant or a model."""
        return self._change("unload", model, variant)

    def index(self) -> dict[str, tuple[str, str]]:
        """Return state and reason by `model/variant` from the repository index."""
        entries = self.post("/v2/repository/index", {}).json
        return {f"{entry['name']}/{entry['version']}": (entry["state"], entry["reason"]) for entry in entries}

    def metric(self, name: str, variant: str, **labels: str) -> float:
        """One sample of `/metrics`: of `model/variant`, with these labels besides."""
        model, variant = variant.split("/")
        text = ",".join(
            f'{key}="{value}"' for key, value in {"model": model, "variant": variant, **labels}.items()
        )
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            content = answer.read().decode()
        [value] = re.findall(rf"^counterweight_{name}{{{text}}} (\S+)$", content, re.MULTILINE)
        return float(value)

    def tree(self) -> list[psutil.Process]:
        """Return the process of the command and its descendants."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def replicas(self, title: str) -> list[psutil.Process]:
        """The replicas whose title, `<application>:<deployment>`, begins so: `linear.light.`, or
        `counterweight:gateway`."""
        # A title that is just being written cannot be read, so this looks several times.
        for _ in range(5):
            found = [
                process for process in self.tree() if _title(process).startswith(f"ray::ServeReplica:{title}")
            ]
            if found:
                break
            time.sleep(0.05)
        return found

    def ready(self, path: str = "/v2/health") -> bool:
        """Return whether the server, or the model or variant of this path, is ready."""
        return self.get(f"{path}/ready").status == 200

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}"
            try:
                return self.ready()
            except (OSError, json.JSONDecodeError):
                return False

        wait_until(ready, _START_TIMEOUT_S)

    def stop(self) -> int:
        """Stop the server and return its exit code."""
        self.process.terminate()
        return self.process.wait(_STOP_TIMEOUT_S)

    def stop_without_a_trace(self) -> None:
        """Stop the server with SIGTERM and check that no process, port or temporary file remains."""
        tree = self.tree()
        assert len(tree) > 5
        assert self.stop() == 0
        assert alive(tree) == []
        assert list(self.scratch.iterdir()) == []
        for port in (self.port, self.grpc_port):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0

    def _change(self, verb: str, model: str, variant: str | None) -> Answer:
        parameters = {} if variant is None else {"variant": variant}
        return self.post(f"/v2/repository/models/{model}/{verb}", {"parameters": parameters})

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())


def alive(tree: list[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run."""
    return [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def wait_until(met: Callable[[], bool], timeout_s: float = 120) -> None:
    """Check the condition four times a second until it is true."""
    deadline = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        time.sleep(0.25)


@contextmanager
def running_server(
    repository: Path,
    *options: str,
    python: str = sys.executable,
    folder: Path = ROOT,
    ports: list[int] | None = None,
    **env: str,
) -> Iterator[Server]:
    """`counterweight serve REPOSITORY`, ready for requests and always stopped afterwards. A server that the
    test has not ended is stopped here and must leave nothing behind."""
    ports = ports or free_ports(2)
    where = ["--port", str(ports[0]), "--grpc-port", str(ports[1])]
    command = [python, "-m", "counterweight", "serve", str(repository), *where, *options]
    # The path is short because Ray puts sockets into it.
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as scratch:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"TMPDIR": scratch} | env,
            start_new_session=True,
        )
        server = Server(process, ports, Path(scratch))
        tree: list[psutil.Process] = []
        try:
            server.wait_until_ready()
            tree = server.tree()
            yield server
            if process.poll() is None:
                server.stop_without_a_trace()
        finally:
            if process.poll() is None:
                tree = server.tree()
                server.stop()
            for leftover in tree:
                if leftover.is_running():
                    leftover.kill()


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
