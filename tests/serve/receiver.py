"""Receiver: an HTTP server on the loopback interface that notes requests and gives set answers."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Received:
    """A received request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to a request, after a delay."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


class Receiver:
    """Running while the context lasts. The last of `replies` is given again and again."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies or (Reply(),))
        self.received: list[Received] = []
        self._came = threading.Condition()
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                receiver._answer(self)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815 - http.server looks for these names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, count: int) -> list[Received]:
        """Return the first `count` requests, once they have arrived."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.received) >= count, 60), self.received
            return self.received[:count]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        with self._came:
            reply = self._replies[min(len(self.received), len(self._replies) - 1)]
            self.received.append(
                Received(
                    method=handler.command,
                    path=handler.path,
                    headers={name.lower(): value for name, value in handler.headers.items()},
                    body=body,
                )
            )
            self._came.notify_all()
        if self._closing.wait(reply.after_s):
            return
        handler.send_response(reply.status)
        for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body)
