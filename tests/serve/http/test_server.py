"""What a connection may cost, and how the server lets go of one."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from deployments.ports import free_ports
from serve.errors import ServerFailed
from serve.http.server import HttpServer, listen
from serve.settings import Settings

MakeLoop = Callable[[], asyncio.AbstractEventLoop]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Echo:
    """An application that answers the size of the body, or waits for ever where the path is /wait."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.cancelled = threading.Event()
        self.name = "one"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, True
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
    app: Echo
    port: int
    call: Callable[..., object]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, content: bytes) -> bytes:
        """Everything that comes back until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(content)
            return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    content = b""
    while chunk := connection.recv(65536):
        content += chunk
    return content


def read_answer(connection: socket.socket) -> bytes:
    """One answer of a connection that stays open."""
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
        yield Running(app, port, call)
        call(server.stop)
        assert not server.running
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def make_loop(request: pytest.FixtureRequest) -> MakeLoop:
    """Ray brings uvloop; without it the server must do the same."""
    make: MakeLoop = request.param
    return make


@pytest.fixture(scope="module")
def server(make_loop: MakeLoop) -> Iterator[Running]:
    with running(Settings(max_header_bytes=2000, receive_timeout_s=0.5), make_loop) as server:
        yield server


def test_answers_and_keeps_the_connection(server: Running) -> None:
    """Two requests over one connection."""
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(GET)
            assert b"200 OK" in read_answer(connection)


def test_answers_go_out_at_once(server: Running, make_loop: MakeLoop) -> None:
    """Head and body are two writes: where the second waited for the first's receipt it would cost 40 ms."""
    delays = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        accepted: list[int] = []

        class Seen(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                sock = transport.get_extra_info("socket")
                accepted.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        listener = listen("127.0.0.1", 0)
        host, port = listener.getsockname()
        serving = await loop.create_server(Seen, sock=listener)
        _, writer = await asyncio.open_connection(host, port)
        while not accepted:
            await asyncio.sleep(0.001)
        writer.close()
        serving.close()
        await serving.wait_closed()
        delays.extend(accepted)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(ask())
    assert delays == [1]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * 2000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 350 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"x" * 2001 + b": a\r\n\r\n",
    ],
    ids=["a long path", "a long value", "many headers", "a long name"],
)
def test_headers_over_the_limit_are_431(server: Running, head: bytes) -> None:
    """In the form of every error, and the connection is closed."""
    answer = server.ask(head)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert answer.endswith(b'{"error":"the headers are over 2000 bytes"}')


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\n", b"GET /"])
def test_a_header_without_an_end_is_431_before_it_fills_the_memory(server: Running, begin: bytes) -> None:
    """It need not be complete to be too long."""
    with server.connect() as connection:
        connection.sendall(begin)
        sent = 0
        try:
            while sent < 2**24:
                sent += connection.send(b"a" * 4096)
            answer = read_to_end(connection)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    # What the system's own buffers take, and no more.
    assert sent < 2**24, answer[:80]


def test_headers_within_the_limit_are_taken(server: Running) -> None:
    """The limit is on one request, not on all of a connection."""
    with server.connect() as connection:
        for _ in range(5):
            connection.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 1900 + b"\r\n\r\n")
            assert b"200 OK" in read_answer(connection)


@pytest.mark.parametrize(
    "part",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"],
    ids=["nothing", "half a line", "half the headers", "half the body"],
)
def test_who_takes_too_long_to_ask_is_let_go(server: Running, part: bytes) -> None:
    """After `receive_timeout_s` the connection is closed, whatever came of the request."""
    start = time.monotonic()
    assert server.ask(part) == b""
    assert time.monotonic() - start >= 0.5


def test_a_request_that_trickles_in_is_let_go_all_the_same(server: Running) -> None:
    """A byte now and then buys no time."""
    start = time.monotonic()
    with server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(200):
                connection.sendall(b"a")
                time.sleep(0.05)
    assert time.monotonic() - start >= 0.5


def test_one_that_came_in_time_may_take_its_time_to_be_answered(server: Running) -> None:
    """The limit is on asking, not on answering."""
    server.app.waiting.clear()
    with server.connect() as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.app.waiting.wait(10)
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_a_request_in_pieces_is_a_request(server: Running) -> None:
    """Byte by byte, two of them over one connection."""
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for byte in b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc":
                connection.sendall(bytes([byte]))
            assert b'"size": 3' in read_answer(connection)


def test_a_client_that_leaves_cancels_its_request(server: Running) -> None:
    """Nobody works for who is gone."""
    server.app.waiting.clear()
    server.app.cancelled.clear()
    with server.connect() as connection:
        connection.sendall(b"POST /wait HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        assert server.app.waiting.wait(10)
        assert not server.app.cancelled.is_set()
    assert server.app.cancelled.wait(10)


def test_requests_behind_one_another_are_answered_in_their_order(server: Running) -> None:
    """All sent at once, and none is lost."""
    sizes = (1, 20, 300)
    content = b"".join(
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n%s\r\n%s"
        % (size, b"Connection: close\r\n" if size == 300 else b"", b"a" * size)
        for size in sizes
    )
    answer = server.ask(content)
    assert [f'"size": {size}' in part for size, part in zip(sizes, answer.decode().split("HTTP/1.1")[1:], strict=True)] == [True] * 3


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        "GET /é HTTP/1.1\r\n\r\n".encode(),
    ],
)
def test_what_is_no_request_is_400(server: Running, content: bytes) -> None:
    """And the connection is closed: nobody knows where the next one would begin."""
    assert server.ask(content).startswith(b"HTTP/1.1 400 ")


def test_two_servers_share_a_port(server: Running, make_loop: MakeLoop) -> None:
    """The system deals connections out between them; when one stops the other goes on."""
    with running(Settings(), make_loop, server.port) as other:
        other.app.name = "two"
        names = {ask_name(server) for _ in range(200)}
    assert names == {"one", "two"}
    assert {ask_name(server) for _ in range(20)} == {"one"}


def ask_name(server: Running) -> str:
    with server.connect() as connection:
        connection.sendall(GET)
        name: str = json.loads(read_answer(connection).partition(b"\r\n\r\n")[2])["name"]
        return name


def test_a_server_that_stops_answers_what_it_took(make_loop: MakeLoop, caplog: pytest.LogCaptureFixture) -> None:
    """And then nobody listens."""
    with running(Settings(), make_loop) as server:
        with server.connect() as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nab")
            time.sleep(0.05)
            connection.sendall(b"c")
            assert b'"size": 3' in read_to_end(connection)
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_address_that_is_not_to_be_had_is_named() -> None:
    """Somebody who does not share it has it."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"cannot listen on 127.0.0.1:{port}: .*give another port"):
            listen("127.0.0.1", port)


def test_listens_on_ipv6_too() -> None:
    """An address with colons."""
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
