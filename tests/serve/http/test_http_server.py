"""How the server answers, and how it closes a connection."""

import asyncio
import json
import logging
import socket
import threading
import time

import pytest

from serve.base.errors import ServerFailed
from serve.base.settings import Settings
from serve.http.http_server import _Bounded, listen
from tests.serve.http.echo import GET, MakeLoop, Running, read_answer, read_to_end, running


def test_answers_and_keeps_the_connection(server: Running) -> None:
    """Two requests over one connection are answered."""
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(GET)
            assert b"200 OK" in read_answer(connection)


def test_answers_go_out_at_once(server: Running, make_loop: MakeLoop) -> None:
    """Accepted connections have TCP_NODELAY, so the second write of an answer does not wait."""
    delays = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        accepted: list[int] = []

        class Recorder(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                sock = transport.get_extra_info("socket")
                accepted.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        listener = listen("127.0.0.1", 0)
        host, port = listener.getsockname()
        serving = await loop.create_server(Recorder, sock=listener)
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


def test_who_asks_while_the_server_stands_still_is_answered(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that arrives while the server is busy is answered, even if its connection was idle too
    long."""
    on_url, stands, asked = _Bounded.on_url, threading.Event(), threading.Event()

    def stand_still(protocol: _Bounded, url: bytes) -> None:
        if url == b"/slow":
            stands.set()
            asked.wait(60)
            time.sleep(2)
        on_url(protocol, url)

    monkeypatch.setattr("serve.http.http_server._IDLE_TIMEOUT_S", 2)
    monkeypatch.setattr(_Bounded, "on_url", stand_still)
    with running(Settings(), make_loop) as server, server.connect() as idle, server.connect() as other:
        idle.sendall(GET)
        read_answer(idle)
        other.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
        assert stands.wait(60)
        idle.sendall(GET)
        asked.set()
        assert b"200 OK" in idle.recv(65536)


def test_a_request_in_pieces_is_a_request(server: Running) -> None:
    """Two requests that arrive byte by byte over one connection are answered."""
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for byte in b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc":
                connection.sendall(bytes([byte]))
            assert b'"size": 3' in read_answer(connection)


def test_who_is_refused_while_still_sending_reads_why(server: Running) -> None:
    """A client that is refused while it still sends 8 MiB reads the answer before the connection closes."""
    size = 8 * 2**20
    head = f"POST /refuse HTTP/1.1\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    assert b'"size": 0' in server.ask(head.encode() + bytes(size))


def test_a_client_that_leaves_cancels_its_request(server: Running) -> None:
    """A client that disconnects cancels its request."""
    server.app.waiting.clear()
    server.app.cancelled.clear()
    with server.connect() as connection:
        connection.sendall(b"POST /wait HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        assert server.app.waiting.wait(60)
        assert not server.app.cancelled.is_set()
    assert server.app.cancelled.wait(60)


def test_a_client_that_leaves_with_requests_in_a_row_is_nobodys_error(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """If a client leaves, its first request is cancelled, the second is not started, and nothing is
    logged."""
    server.app.waiting.clear()
    server.app.cancelled.clear()
    with server.connect() as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        assert server.app.waiting.wait(60)
        server.app.waiting.clear()
    assert server.app.cancelled.wait(60)
    # The next turn of the loop would log the error.
    server.ask(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert not server.app.waiting.is_set()
    assert caplog.records == []


def test_requests_behind_one_another_are_answered_in_their_order(server: Running) -> None:
    """Three pipelined requests are answered in their order."""
    sizes = (1, 20, 300)
    content = b"".join(
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n%s\r\n%s"
        % (size, b"Connection: close\r\n" if size == 300 else b"", b"a" * size)
        for size in sizes
    )
    answers = server.ask(content).split(b"HTTP/1.1 ")[1:]
    assert [json.loads(answer.partition(b"\r\n\r\n")[2])["size"] for answer in answers] == list(sizes)


def test_two_servers_share_a_port(server: Running, make_loop: MakeLoop) -> None:
    """Two servers share a port, and one answers when the other stops."""
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


def test_a_server_that_stops_answers_what_it_took(
    make_loop: MakeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """A stopping server answers its accepted requests, then closes the port."""
    with running(Settings(), make_loop) as server, server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nab")
        time.sleep(0.05)
        connection.sendall(b"c")
        assert b'"size": 3' in read_to_end(connection)
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_address_that_is_not_to_be_had_is_named() -> None:
    """The error for an address in use names the address and the fix."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"cannot listen on 127.0.0.1:{port}: .*give another port"):
            listen("127.0.0.1", port)


def test_listens_on_ipv6_too() -> None:
    """The server can listen on an IPv6 address."""
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
