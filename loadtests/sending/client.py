"""An HTTP client for everything except inference, with the standard library only."""

import http.client
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from loadtests.errors import LoadTestError

_TIMEOUT_S = 10
_LIMIT_BYTES = 16 * 2**20
_CONTROL = "/control/"
_NO_CONTROL = "only a server that was started by `counterweight serve` has a control API; is this one?"
_CLOSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client of one server. All methods raise LoadTestError if the server does not answer as expected.

    Each request opens its own connection, because there may be a minute between two requests."""

    url: str
    # None if the server does not require a token.
    token: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authorize a request."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str) -> Any:
        """Return the JSON at this path."""
        return self._ask("GET", path, None)

    def post(self, path: str, content: Any) -> Any:
        """Post `content` and return the JSON of the answer."""
        return self._ask("POST", path, json.dumps(content).encode())

    def put(self, path: str, content: Any) -> Any:
        """Put `content` and return the JSON of the answer."""
        return self._ask("PUT", path, json.dumps(content).encode())

    def text(self, path: str) -> str:
        """Return the text at this path."""
        status, media_type, body = self._exchange("GET", path, None, "text/plain")
        if status != HTTPStatus.OK:
            raise LoadTestError(self._refusal(path, status, media_type, body))
        return body.decode(errors="replace")

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        status, media_type, answered = self._exchange(method, path, body, "application/json")
        if status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            raise LoadTestError(self._refusal(path, status, media_type, answered))
        try:
            return json.loads(answered)
        except ValueError:
            raise LoadTestError(self._stranger(path, status, media_type)) from None

    def _refusal(self, path: str, status: int, media_type: str, body: bytes) -> str:
        try:
            content = json.loads(body)
        except ValueError:
            if status not in _CLOSED:
                return self._stranger(path, status, media_type)
            content = HTTPStatus(status).phrase
        reason = content.get("error", content) if isinstance(content, dict) else content
        message = f"{self.url}{path} answered {status}: {reason!s:.300}"
        # A conflict with the server's state explains the fix itself.
        return message if status == HTTPStatus.CONFLICT else f"{message}; {_fix(status, path)}"

    def _stranger(self, path: str, status: int, media_type: str) -> str:
        message = f"{self.url}{path} answered {status} with {media_type or 'no content type'} instead of JSON"
        if path.startswith(_CONTROL):
            return f"{message}; {_NO_CONTROL}"
        return f"{message}; is this the address of a server that speaks the Open Inference Protocol?"

    def _exchange(self, method: str, path: str, body: bytes | None, accept: str) -> tuple[int, str, bytes]:
        """Exchange one request; return status, media type and body."""
        parts = urlsplit(self.url)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = make(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        headers = {"Accept": accept, **self.headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, parts.path + path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("content-type", ""), answer.read(_LIMIT_BYTES)
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise LoadTestError(
                f"{self.url}{path} does not answer: {why}; is the server up, and is this its URL?"
            ) from None
        finally:
            connection.close()


def _fix(status: int, path: str) -> str:
    if status in _CLOSED:
        return "give a token that may do this in COUNTERWEIGHT_TOKEN or with --token-file FILE"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "look into the server's log, then try again"
    if path.startswith(_CONTROL) and status == HTTPStatus.NOT_FOUND:
        return _NO_CONTROL
    return "check --model and the URL"
