"""Read the body and the timeout of an HTTP request, within the size limit."""

import math
from collections.abc import Callable

from starlette.requests import Request

from serve.base.errors import InvalidRequest, RequestTooLarge
from serve.base.settings import Settings
from serve.oip.compression import decompress, fewer_rows

TIMEOUT_HEADER = "x-request-timeout-seconds"


class BodyReader:
    """Reads bodies and headers within the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._limit_bytes = settings.max_body_bytes

    async def body(self, request: Request, advise: Callable[[], str] = fewer_rows) -> bytes:
        """The decompressed body. Raises RequestTooLarge, with this advice, as soon as it exceeds the limit;
        InvalidRequest; UnsupportedEncoding."""
        content_length = int(request.headers.get("content-length", 0))
        if content_length > self._limit_bytes:
            raise RequestTooLarge(
                f"the body has {content_length} bytes, but at most {self._limit_bytes} are allowed; "
                f"{advise()}"
            )
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._limit_bytes:
                raise RequestTooLarge(f"the body is over {self._limit_bytes} bytes; {advise()}")
        request.state.exchange.bytes_in = size
        body = b"".join(chunks)
        encoding = request.headers.get("content-encoding")
        return body if encoding is None else decompress(body, encoding, self._limit_bytes, advise)

    def timeout_s(self, request: Request) -> float | None:
        """The timeout in the request's header; None if it has none. Raises InvalidRequest."""
        header = request.headers.get(TIMEOUT_HEADER)
        if header is None:
            return None
        try:
            timeout_s = float(header)
        except ValueError:
            timeout_s = math.nan
        if not 0 < timeout_s < math.inf:
            raise InvalidRequest(f"the header {TIMEOUT_HEADER} is {header!r:.40}, expected seconds above 0")
        return timeout_s
