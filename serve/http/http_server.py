"""Runs uvicorn on a port that several processes can share, with limits for each connection."""

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
# Clients keep connections open for about a minute. A server that closes them earlier may close one on which a
# request has just been sent, which then fails. With uvicorn's default of 5 s that happens under steady load.
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
        """Listen on the port, which other processes may share. Raises ServerFailed if that fails."""
        listener = listen(host, port)
        # Not `serve`, which would install signal handlers: those of the process must stay.
        self._serving = asyncio.create_task(self._server._serve([listener]))

    @property
    def running(self) -> bool:
        """Whether the server accepts connections."""
        return self._serving is not None and not self._serving.done()

    async def stop(self) -> None:
        """Accept no new connections, and answer the requests that were accepted."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Other processes of this user may bind it too, and the kernel distributes
    the connections among them. Raises ServerFailed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on a socket whose protocol is TCP; without it an answer takes 40 ms more.
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
    """Whether the socket has data to read."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _cancellable(app: ASGIApp) -> ASGIApp:
    """Wrap `app` so that a request whose client has disconnected is cancelled without an error."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return call


class _Bounded(HttpToolsProtocol):
    """uvicorn's protocol with limits on the size and the duration of headers, which cancels the request of a
    client that disconnects."""

    # Set in a subclass for each server, because uvicorn creates the protocols itself.
    settings: Settings

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        # The size of headers that have arrived in pieces and are not complete.
        self._open_bytes = 0
        self._receiving = False
        self._late: asyncio.TimerHandle | None = None
        # The request of this connection that is being answered.
        self._task: asyncio.Task[None] | None = None
        self._cycle: Any = None
        # The last request of the connection, while its body is arriving.
        self._last: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._late = self.loop.call_later(self.settings.receive_timeout_s, self.transport.close)

    def data_received(self, data: bytes) -> None:
        before = self._reads_headers
        super().data_received(data)
        if before and self._reads_headers and not self.transport.is_closing():
            # Complete headers are counted when they end; this counts those that do not end.
            self._open_bytes += len(data)
            if self._open_bytes > self.settings.max_header_bytes:
                self._header_bytes += self._open_bytes
                self.send_400_response("")
                return
        # Only a request that did not arrive in one piece needs a timer.
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
        # After a pause of the process the timer fires before the data that arrived meanwhile is read.
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
        # The size on the wire, with ": " and the end of the line.
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
            # An early answer must not close the connection before the body has arrived: that would reset it,
            # and the client could not read the reason.
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
