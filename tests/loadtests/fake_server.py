"""A small real server of the protocol, whose faults are known because the tests choose them."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

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
    """The server and the bodies that it got."""

    url: str
    # The bodies of infer requests, in the order of their arrival.
    bodies: list[dict[str, Any]]
    # The versions that it claims to have.
    versions: list[str]


@contextmanager
def open_server(infer: Infer = answer_rightly) -> Iterator[FakeServer]:
    """A server with a chosen answer to infer requests."""
    server = FakeServer(url="", bodies=[], versions=list(METADATA["versions"]))

    async def endpoint(request: Request) -> Response:
        body = json.loads(await request.body())
        server.bodies.append(body)
        return infer(request, body)

    server.url, stop = _run(endpoint, server)
    try:
        yield server
    finally:
        stop()


def _run(endpoint: Any, told: FakeServer) -> tuple[str, Callable[[], None]]:
    async def describe(request: Request) -> Response:
        if request.path_params["model"] != "digits":
            return JSONResponse({"error": "no such model; known: digits"}, 404)
        return JSONResponse(METADATA | {"versions": told.versions})

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
