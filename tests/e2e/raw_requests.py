"""Raw requests: bytes that are nearly HTTP, and bytes that are not, sent over many connections at once."""

import gzip
import json
import re
import selectors
import socket
import struct
import time

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

BATCH = 50
# A server that has not answered within this time waits for more bytes.
_PATIENCE_S = 0.1
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_INFER = "/v2/models/linear/infer"
_ROW = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
_BINARY = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
_JSON = json.dumps({"inputs": [_ROW]}).encode()
_BINARY_JSON = json.dumps({"inputs": [_BINARY], "parameters": {"binary_data_output": True}}).encode()
_TEXT = json.dumps({"model": "words", "input": ["hello there", "a"]}).encode()
_LENGTH = "Inference-Header-Content-Length"
_FLOATS = struct.pack("<4f", 1, 2, 3, 4)


def _post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _chunked(body: bytes) -> bytes:
    head = f"POST {_INFER} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


# Kind of request -> its bytes.
_SOUND = {
    "json": _post(_INFER, _JSON),
    "binary": _post(_INFER, _BINARY_JSON + _FLOATS, f"{_LENGTH}: {len(_BINARY_JSON)}"),
    "raw": _post(_INFER, _FLOATS, f"{_LENGTH}: 0"),
    "gzip": _post(_INFER, gzip.compress(_JSON, mtime=0), "Content-Encoding: gzip"),
    "embeddings": _post("/v1/embeddings", _TEXT),
    "index": _post("/v2/repository/index", b""),
    "deep": _post(_INFER, b"[" * 20_000),
    "huge": _post(_INFER, _JSON.replace(b"1", b"1e999")),
    "two": _post(_INFER, _JSON) * 2,
    "chunked": _chunked(_JSON),
    "statistics": b"GET /v2/models/linear/stats HTTP/1.1\r\nHost: a\r\n\r\n",
    "metrics": b"GET /metrics HTTP/1.0\r\n\r\n",
}
_LINES = [
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 3",
    b"Content-Length: 1000000",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Content-Encoding: gzip",
    b"Content-Encoding: nonsense",
    b"Accept-Encoding: gzip;q=nan, *;q=-1",
    b"Expect: 100-continue",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"x-request-timeout-seconds: 5e-324",
    b"x-request-timeout-seconds: \xff",
    b"x-request-id: " + b"a" * 5000,
    b"traceparent: 00-" + b"f" * 200,
    b"x-counterweight-key: \xe9\x00",
    b"x: " + b"a" * 20_000,
    _LENGTH.encode() + b": 99999",
    _LENGTH.encode() + b": 7",
    b": no name",
    b"no colon",
    b"\x00",
]


def _spoil(name: str, how: str, place: float, junk: bytes) -> bytes:
    """A sound request with one thing wrong, `place` from its beginning (0) to its end (1)."""
    request = _SOUND[name]
    at = int(place * len(request))
    if how == "cut":
        return request[:at]
    if how == "insert":
        return request[:at] + junk + request[at:]
    if how == "overwrite":
        return request[:at] + junk + request[at + len(junk) :]
    line = _LINES[int(place * (len(_LINES) - 1))]
    return request.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)


_NAMES = st.sampled_from(list(_SOUND))
_SPOILT = st.builds(
    _spoil,
    _NAMES,
    st.sampled_from(["cut", "insert", "overwrite", "line"]),
    st.floats(0, 1),
    st.binary(min_size=1, max_size=12),
)
_ANYTHING: SearchStrategy[bytes] = _SPOILT | st.binary(max_size=200) | _NAMES.map(lambda name: _SOUND[name])
BATCHES = st.lists(_ANYTHING, min_size=BATCH, max_size=BATCH)


def send_raw(requests: list[tuple[int, bytes]]) -> list[list[int]]:
    """Send each to its port over its own connection, all at once. Returns the statuses of each. Raises
    ConnectionRefusedError if no server listens."""
    came: list[bytes] = [b""] * len(requests)
    with selectors.DefaultSelector() as open_ones:
        for number, (port, content) in enumerate(requests):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            open_ones.register(connection, selectors.EVENT_READ, number)
            try:
                connection.sendall(content)
            except (BrokenPipeError, ConnectionResetError):
                # The server refused the request before its end.
                continue
        until = time.monotonic() + _PATIENCE_S
        while open_ones.get_map() and (left_s := until - time.monotonic()) > 0:
            for key, _ in open_ones.select(left_s):
                chunk = _receive(key.fileobj)
                came[key.data] += chunk
                if chunk:
                    until = time.monotonic() + _PATIENCE_S
                else:
                    open_ones.unregister(key.fileobj)
                    _close(key.fileobj)
        for key in list(open_ones.get_map().values()):
            _close(key.fileobj)
    return [[int(status) for status in _STATUS.findall(content)] for content in came]


def _receive(connection: object) -> bytes:
    assert isinstance(connection, socket.socket)
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def _close(connection: object) -> None:
    assert isinstance(connection, socket.socket)
    connection.close()
