"""A server over an application that echoes, in a thread of its own, and raw connections to it."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from deployments.ports import free_ports
from serve.base.settings import Settings
from serve.http.http_server import HttpServer

MakeLoop = Callable[[], asyncio.AbstractEventLoop]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Echo:
    """An application that answers the size of the body, which it does not read where the path is /refuse; at
    /wait it waits for ever."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.cancelled = threading.Event()
        self.name = "one"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, scope["path"] != "/refuse"
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/wait":
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        content = json.dumps({"size": size, "name": self.name}).encode()
        headers = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


@dataclass
class Running:
    """A server, and how to reach it."""

    app: Echo
    port: int
    call: Callable[..., object]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(self, content: bytes) -> bytes:
        """Return all bytes until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(content)
            return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    content = b""
    while chunk := connection.recv(65536):
        content += chunk
    return content


def read_answer(connection: socket.socket) -> bytes:
    """Read one answer of a connection that stays open."""
    content = b""
    while not content.endswith(b"}"):
        content += connection.recv(65536)
    return content


@contextmanager
def running(settings: Settings, make_loop: MakeLoop, port: int | None = None) -> Iterator[Running]:
    loop, app = make_loop(), Echo()
    port = free_ports(1)[0] if port is None else port
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(function: Callable[[], object]) -> object:
        async def played() -> object:
            result = function()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(played(), loop).result(20)

    try:
        server = HttpServer(app, settings)
        call(lambda: server.start("127.0.0.1", port))
        try:
            yield Running(app, port, call)
        finally:
            call(server.stop)
        assert not server.running
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
