"""HttpServer: uvicorn on a port that several processes of this machine can share, with limits on what a
connection may cost."""

import asyncio
import select
import socket
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serve.base.errors import ServerFailed
from serve.base.settings import Settings

_BACKLOG = 2048
_STOP_TIMEOUT_S = 10
# Clients keep connections for a minute or so. A server that is quicker closes one that is just asked again,
# and the client has no answer: after 5 s, uvicorn's own choice, that happens under steady load.
_IDLE_TIMEOUT_S = 75


class HttpServer:
    """An ASGI application behind a port."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        config = uvicorn.Config(
            _cancellable(app),
            http=type("_Bounded", (_Bounded,), {"settings": settings}),
            ws="none",
            lifespan="off",
            log_config=None,
            # A warning for each malformed request would let a client fill the disk.
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_IDLE_TIMEOUT_S,
            timeout_graceful_shutdown=_STOP_TIMEOUT_S,
        )
        self._server = uvicorn.Server(config)
        self._serving: asyncio.Task[None] | None = None

    def start(self, host: str, port: int) -> None:
        """Listen, beside others on the same port. Raises ServerFailed when the address is not to be had."""
        listener = listen(host, port)
        # Not `serve`: the process that holds us has its own idea of signals.
        self._serving = asyncio.create_task(self._server._serve([listener]))

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._serving is not None and not self._serving.done()

    async def stop(self) -> None:
        """Take no new connections and answer what was taken."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address, which other processes of this user may bind, too; the system deals
    connections out among them. Raises ServerFailed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only where the socket says that it is TCP: else 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServerFailed(f"cannot listen on {host}:{port}: {error.strerror}; give another port") from None
    return listener


def _has_come(connection: socket.socket) -> bool:
    """Whether there is something to read."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _cancellable(app: ASGIApp) -> ASGIApp:
    """`app`, whose request ends quietly when it is cancelled because its client has gone."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return call


class _Bounded(HttpToolsProtocol):
    """uvicorn's protocol, which alone would read headers without end and wait for them forever, and goes on
    with requests whose client has gone."""

    # Of a subclass for each server: uvicorn makes its protocols itself.
    settings: Settings

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        # Of headers that came in further pieces and have not ended yet.
        self._open_bytes = 0
        self._receiving = False
        self._late: asyncio.TimerHandle | None = None
        # Of the requests that came over the connection, the one that is being answered.
        self._task: asyncio.Task[None] | None = None
        self._cycle: Any = None
        # The connection's last request, while its body still comes.
        self._last: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._late = self.loop.call_later(self.settings.receive_timeout_s, self.transport.close)

    def data_received(self, data: bytes) -> None:
        before = self._reads_headers
        super().data_received(data)
        if before and self._reads_headers and not self.transport.is_closing():
            # A header is counted when it ends; this one does not.
            self._open_bytes += len(data)
            if self._open_bytes > self.settings.max_header_bytes:
                self._header_bytes += self._open_bytes
                self.send_400_response("")
                return
        # A timer only for a request that did not come in one piece.
        if self._receiving:
            if self._late is None:
                self._late = self.loop.call_later(self.settings.receive_timeout_s, self.transport.close)
        elif self._late is not None:
            self._late.cancel()
            self._late = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()
        if self._task is not None and not self._cycle.response_complete:
            self._cycle.disconnected = True
            self._task.cancel()

    def timeout_keep_alive_handler(self) -> None:
        # A process that stood still learns of the time before it learns who has asked meanwhile.
        if not _has_come(self.transport.get_extra_info("socket")):
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = self._open_bytes = 0
        self._receiving = True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving = False
        if self._last is not None:
            self._last.keep_alive = False
            if self._last.response_complete:
                self.transport.close()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # As they stand on the wire, with ": " and the end of the line.
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        if self._header_bytes <= self.settings.max_header_bytes:
            super().send_400_response(msg)
            return
        body = b'{"error":"the headers are over %d bytes"}' % self.settings.max_header_bytes
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[431] + head % len(body) + body)
        self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if self._receiving and not cycle.keep_alive:
            # An early answer must not close it before the body has come: that would reset the connection,
            # and the client would never read why it was refused.
            cycle.keep_alive = True
            self._last = cycle
        self._cycle = cycle
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    @property
    def _reads_headers(self) -> bool:
        # uvicorn writes the method into the scope when the headers are complete.
        return self._receiving and "method" not in self.scope

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.settings.max_header_bytes:
            raise ValueError("stops the parser")
