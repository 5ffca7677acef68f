"""The limits of a connection."""

import time
from contextlib import suppress

import pytest

from tests.serve.http.echo import Running, read_answer, read_to_end


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
    """Headers above the limit give 431 with a JSON error, and the connection is closed."""
    answer = server.ask(head)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert answer.endswith(b'{"error":"the headers are over 2000 bytes"}')


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\n", b"GET /"])
def test_a_header_without_an_end_is_431_before_it_fills_the_memory(server: Running, begin: bytes) -> None:
    """A header without an end is refused before 16 MiB were sent."""
    with server.connect() as connection:
        connection.sendall(begin)
        sent = 0
        try:
            while sent < 2**24:
                sent += connection.send(b"a" * 4096)
            answer = read_to_end(connection)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    # The buffers of the system take this much, and no more.
    assert sent < 2**24, answer[:80]


def test_headers_within_the_limit_are_taken(server: Running) -> None:
    """The limit on headers applies to each request of a connection."""
    with server.connect() as connection:
        for _ in range(5):
            connection.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 1900 + b"\r\n\r\n")
            assert b"200 OK" in read_answer(connection)


@pytest.mark.parametrize(
    "part",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"],
    ids=["nothing", "half a line", "half the headers", "half the body"],
)
def test_who_takes_too_long_to_ask_is_let_go(impatient: Running, part: bytes) -> None:
    """A connection that sends no whole request within `receive_timeout_s` is closed."""
    start = time.monotonic()
    assert impatient.ask(part) == b""
    # The clocks of two threads may differ by a hundredth of a second.
    assert time.monotonic() - start >= 0.49


def test_a_request_that_trickles_in_is_let_go_all_the_same(impatient: Running) -> None:
    """A request that arrives byte by byte is closed after the timeout."""
    start = time.monotonic()
    with impatient.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                connection.sendall(b"a")
                time.sleep(0.05)
            pytest.fail("it was never let go")
    assert time.monotonic() - start >= 0.49


def test_one_that_came_in_time_may_take_its_time_to_be_answered(impatient: Running) -> None:
    """The timeout does not apply to the answer."""
    impatient.app.waiting.clear()
    with impatient.connect() as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        assert impatient.app.waiting.wait(60)
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(1)


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
    """Bytes that are not HTTP give 400."""
    assert server.ask(content).startswith(b"HTTP/1.1 400 ")


def test_what_is_no_request_is_not_logged(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are not HTTP write nothing to the log."""
    assert server.ask(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert caplog.records == []
