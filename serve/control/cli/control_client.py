"""An HTTP client of the control API, with the standard library only."""

import http.client
import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote

from pydantic import TypeAdapter, ValidationError

from serve.base.errors import InvalidRecord, Refused, ServerFailed, StaleRevision, Unwritten
from serve.base.record import Record, explain
from serve.base.url import parse_url
from serve.control.cli.text_format import printable
from serve.control.operation_row import Operation
from serve.control.operations import TRAIL
from serve.rollout.api_records import TrailLine

A = TypeVar("A")

_TIMEOUT_S = 10
_LIMIT_BYTES = 64 * 2**20


class ControlClient:
    """The client of one server. All methods raise Refused with the server's message, StaleRevision if the
    record has changed since it was read, and ServerFailed if the server does not answer, or not in our
    format."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`url` such as http://127.0.0.1:8000. Raises InvalidRecord."""
        self.url = url.rstrip("/")
        self._parts = _server_of(self.url)
        self._token = token

    def ask(self, operation: Operation[A], *names: str, body: Record | None = None, after: int = 0) -> A:
        """Run an operation; `names` are the parameters in its path. Raises Unwritten if the change is in
        force and will be written later."""
        path = operation.path.format_map(
            dict(zip(operation.names, (quote(name, safe="") for name in names), strict=True))
        )
        answer = self._ask(operation.method, f"{path}?after={after}" if operation.after else path, body)
        try:
            result = answer if operation.key is None else answer[operation.key]
            return TypeAdapter(operation.answer).validate_python(result)
        except KeyError:
            fault = f"no key {operation.key!r}"
        except ValidationError as error:
            fault = explain(error)
        raise ServerFailed(f"{self.url}: {fault}; the server may have another version than this program")

    def trail(self, model: str) -> list[TrailLine]:
        """All entries of a model's trail, oldest first."""
        lines: list[TrailLine] = []
        while page := self.ask(TRAIL, model, after=lines[-1].number if lines else 0):
            lines += page
        return lines

    def _ask(self, method: str, path: str, body: Record | None = None) -> Any:
        """The JSON object of the answer."""
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        # Defaults are left out, because a server of an older version may not know their fields. Null is sent
        # where it is not the default: in a policy, it turns something off.
        text = body.model_dump_json(exclude_defaults=True) if body is not None else None
        status, content = self._exchange(method, path, headers, text)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, Mapping) or not (status in (200, 201) or "error" in answer):
            raise ServerFailed(
                f"{self.url}{path} answered {status} without the expected JSON; set --url to the address of "
                "a Counterweight server"
            )
        if status == 202:
            raise Unwritten(printable(str(answer["error"])))
        if status >= 500:
            raise ServerFailed(f"{self.url}: {printable(str(answer['error']))}")
        if status >= 300:
            message, current = printable(str(answer["error"])), answer.get("current")
            raise StaleRevision(message, current) if isinstance(current, int) else Refused(message)
        return answer

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None
    ) -> tuple[int, bytes]:
        """Send one request; returns status and body. Each one has its own connection: minutes may lie
        between."""
        make = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = make(self._parts.hostname or "", self._parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, self._parts.path + path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(_LIMIT_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise ServerFailed(
                f"no answer from {self.url}: {error or type(error).__name__}; start a server with "
                "`counterweight serve models`, or set --url to the address of a running one"
            ) from None
        finally:
            connection.close()


def _server_of(url: str) -> SplitResult:
    """Split the URL. Raises InvalidRecord."""
    try:
        parts = parse_url(url)
    except ValueError as error:
        raise InvalidRecord(str(error)) from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidRecord(
            "the URL of a server must not contain a name, password or query; give one such as "
            "http://127.0.0.1:8000, and pass the token with --token-file"
        )
    return parts
