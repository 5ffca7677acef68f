"""Compress and decompress bodies (gzip, deflate), with a limit on the decompressed size."""

import zlib
from collections.abc import Callable

from serve.base.error_text import brief
from serve.base.errors import InvalidRequest, RequestTooLarge, UnsupportedEncoding

# zlib's window bits, which also select the format: gzip, or zlib's own, which HTTP calls deflate.
_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
# A smaller body fits into one packet without compression.
_WORTHWHILE_BYTES = 1024
# The fastest level, because CPU time is scarce.
_LEVEL = 1


def fewer_rows() -> str:
    """The advice in the error for a body that is too large."""
    return "send fewer rows in a request"


def decompress(body: bytes, encoding: str, max_bytes: int, advise: Callable[[], str] = fewer_rows) -> bytes:
    """Decompress `body` as Content-Encoding says; at most `max_bytes` are ever decompressed.

    Raises UnsupportedEncoding, RequestTooLarge, or InvalidRequest for data that is invalid or incomplete."""
    coding = encoding.strip().lower()
    if coding == "identity":
        return body
    if coding not in _WINDOW:
        raise UnsupportedEncoding(
            f"the body has the Content-Encoding {brief(encoding)}, expected gzip or deflate (only one), or "
            "none"
        )
    unpacker = zlib.decompressobj(_WINDOW[coding])
    try:
        content = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not {coding}, as its Content-Encoding says: {error}") from None
    if len(content) > max_bytes:
        raise RequestTooLarge(f"the body is over {max_bytes} bytes after decompression; {advise()}")
    if not unpacker.eof:
        raise InvalidRequest(
            f"the body ends within its {coding} data, after {len(body)} bytes; send all of it"
        )
    if unpacker.unused_data:
        raise InvalidRequest(
            f"{len(unpacker.unused_data)} bytes follow the end of the body's {coding} data; expected 0"
        )
    return content


def compress(body: bytes, accept_encoding: str) -> tuple[bytes, str | None]:
    """Compress `body` for a client with this Accept-Encoding. Returns the coding's name, or None."""
    coding = _choose(accept_encoding)
    if coding is None or len(body) <= _WORTHWHILE_BYTES:
        return body, None
    packed = zlib.compress(body, _LEVEL, _WINDOW[coding])
    # Floating-point numbers as bytes hardly compress.
    return (packed, coding) if len(packed) < len(body) else (body, None)


def _choose(accept_encoding: str) -> str | None:
    """The coding with the highest q-value, gzip before deflate; None if the client accepts neither."""
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.partition(";")
        weights[coding.strip()] = _read_weight(weight.strip())
    offered = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in _WINDOW}
    best = max(offered, key=lambda coding: offered[coding])
    return best if offered[best] > 0 and offered[best] >= weights.get("identity", 0.0) else None


def _read_weight(text: str) -> float:
    if not text:
        return 1.0
    try:
        return float(text.removeprefix("q="))
    except ValueError:
        return 0.0
