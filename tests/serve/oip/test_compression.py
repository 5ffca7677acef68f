import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from serve.base.errors import InvalidRequest, RequestTooLarge, UnsupportedEncoding
from serve.oip.compression import compress, decompress

BODY = b'{"inputs": []}' * 100
PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", " GZIP"])
def test_a_packed_body_is_unpacked(encoding: str) -> None:
    """A gzip or deflate body is decompressed, up to the size of the limit."""
    packed = PACK[encoding.strip().lower()](BODY)
    assert decompress(packed, encoding, len(BODY)) == BODY


def test_identity_is_no_coding() -> None:
    """A body with the coding `identity` is unchanged."""
    assert decompress(BODY, "identity", 1) == BODY


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "deflate,gzip", "", "x" * 9999])
def test_other_codings_are_415(encoding: str) -> None:
    """Other codings, or several at once, give 415."""
    with pytest.raises(UnsupportedEncoding, match="expected gzip or deflate"):
        decompress(BODY, encoding, 10**6)


@pytest.mark.parametrize("coding", PACK)
def test_a_bomb_is_never_unpacked(coding: str) -> None:
    """A body that would inflate to 64 MiB is refused with less than four times the limit in memory."""
    bomb = PACK[coding](bytes(64 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(RequestTooLarge, match="over 1048576 bytes"):
            decompress(bomb, coding, 2**20)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * 2**20


@pytest.mark.parametrize("coding", PACK)
def test_what_is_not_whole_is_refused(coding: str) -> None:
    """A body that is cut, has extra bytes or is not compressed is refused."""
    packed = PACK[coding](BODY)
    for cut in range(len(packed)):
        with pytest.raises(InvalidRequest, match="ends within"):
            decompress(packed[:cut], coding, len(BODY))
    with pytest.raises(InvalidRequest, match="4 bytes"):
        decompress(packed + b"rest", coding, len(BODY))
    with pytest.raises(InvalidRequest, match=f"the body is not {coding}"):
        decompress(BODY, coding, len(BODY))


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.2, deflate;q=0.8", "deflate"),
        ("*", "gzip"),
        ("*;q=0.5, gzip;q=0", "deflate"),
        ("GZIP; Q=1.0", "gzip"),
        ("", None),
        ("br", None),
        ("gzip;q=0", None),
        ("gzip;q=x", None),
        ("identity, gzip;q=0.5", None),
    ],
)
def test_the_client_chooses_how_the_answer_is_packed(accept: str, coding: str | None) -> None:
    """The coding follows the weights in Accept-Encoding, and decompressing gives the body."""
    packed, chosen = compress(BODY, accept)
    assert chosen == coding
    assert (BODY if coding is None else decompress(packed, coding, len(BODY))) == BODY


def test_small_bodies_and_noise_go_as_they_are() -> None:
    """Small bodies and incompressible ones are not compressed."""
    noise = random.Random(0).randbytes(2000)
    assert compress(BODY[:1024], "gzip") == (BODY[:1024], None)
    assert compress(noise, "gzip")[1] is None
