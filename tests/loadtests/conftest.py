"""A small real server of the protocol, whose faults are known because the tests choose them."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loadtests.metadata import ModelMetadata
from tests.loadtests.desk import Answers, open_desk

Infer = Callable[[Request, dict[str, Any]], Response]

METADATA: dict[str, Any] = {
    "name": "digits",
    "versions": ["fp32", "int8"],
    "platform": "test",
    "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 2, 2]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}],
}


def answer_rightly(request: Request, body: dict[str, Any]) -> Response:
    return JSONResponse(
        {
            "model_name": "digits",
            "model_version": request.path_params.get("variant", "fp32"),
            "id": body["id"],
            "outputs": [{"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 1, -2e3]}],
        }
    )


@dataclass
class FakeServer:
    """The server and what it saw."""

    url: str
    # Of infer requests, in the order they came in.
    bodies: list[dict[str, Any]]


@pytest.fixture
def metadata() -> ModelMetadata:
    return ModelMetadata.model_validate(METADATA)


@pytest.fixture
def right_answer() -> Infer:
    return answer_rightly


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """Starts servers with a chosen answer to infer requests; all of them are stopped at the end."""
    stops: list[Callable[[], None]] = []

    def start(infer: Infer = answer_rightly, *, stall_at: int = 0, delay_s: float = 0) -> FakeServer:
        """`stall_at`: at this request, counted from 1, the whole server stands still for one second.
        `delay_s`: every answer takes this long, any number of them side by side."""
        server = FakeServer(url="", bodies=[])

        async def endpoint(request: Request) -> Response:
            body = json.loads(await request.body())
            server.bodies.append(body)
            if len(server.bodies) == stall_at:
                time.sleep(1)
            await asyncio.sleep(delay_s)
            return infer(request, body)

        url, stop = _run(endpoint)
        stops.append(stop)
        server.url = url
        return server

    yield start
    for stop in stops:
        stop()


def _run(endpoint: Any) -> tuple[str, Callable[[], None]]:
    async def describe(request: Request) -> Response:
        if request.path_params["model"] != "digits":
            return JSONResponse({"error": "no such model; known: digits"}, 404)
        return JSONResponse(METADATA)

    app = Starlette(
        routes=[
            Route("/v2/models/{model}", describe),
            Route("/v2/models/{model}/infer", endpoint, methods=["POST"]),
            Route("/v2/models/{model}/versions/{variant}/infer", endpoint, methods=["POST"]),
            Route("/html/v2/models/{model}", lambda request: Response("<html>", media_type="text/html")),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join()
        listener.close()

    return f"http://127.0.0.1:{listener.getsockname()[1]}", stop


@pytest.fixture
def desk() -> Iterator[Callable[[Answers], str]]:
    """Opens desks, and closes them at the end."""
    with ExitStack() as stack:
        yield lambda answers: stack.enter_context(open_desk(answers))


@dataclass
class Finished:
    """What the command left behind."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


_COMMAND = """
import sys
from loadtests.cli import loadtest
from loadtests.errors import LoadTestError
try:
    code = loadtest(sys.argv[1:])
except LoadTestError as error:
    print(error, file=sys.stderr)
    code = error.exit_code
sys.exit(code)
"""


@pytest.fixture
def start_loadtest() -> Callable[..., "subprocess.Popen[str]"]:
    """Starts the command in a process of its own, since locust patches the process it is imported in."""

    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _COMMAND, "run", *arguments],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def loadtest(start_loadtest: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., Finished]:
    """Runs the command to its end."""

    def run(*arguments: str) -> Finished:
        with start_loadtest(*arguments) as process:
            out, err = process.communicate(timeout=50)
        return Finished(process.returncode, out, err)

    return run
