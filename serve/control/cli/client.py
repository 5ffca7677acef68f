"""Client: a server's control API, asked over HTTP with the standard library alone."""

import http.client
import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote

from serve.base.errors import InvalidRecord, Refused, ServerFailed, StaleRevision, Unwritten
from serve.base.record import Record
from serve.base.routing import Routes
from serve.base.url import parse_url
from serve.control.cli.words import printable
from serve.rollout.records import (
    Act,
    ActWanted,
    RolloutLine,
    RolloutView,
    RolloutWanted,
    RoutesWanted,
    TrailLine,
)
from serve.rollout.replay import Replay

R = TypeVar("R", bound=Record)

_TIMEOUT_S = 10
_LIMIT_BYTES = 64 * 2**20


class Client:
    """One server. All methods raise Refused for what the server turns down, with its message, StaleRevision
    where it has changed since it was read, and ServerFailed where it does not answer, or not as it should."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`url` such as http://127.0.0.1:8000. Raises InvalidRecord."""
        self.url = url.rstrip("/")
        self._parts = _server_of(self.url)
        self._token = token

    def models(self) -> list[str]:
        """The names of all models."""
        return list(self._ask("GET", "/control/models")["models"])

    def model(self, model: str) -> dict[str, Any]:
        """A model's routes, its variants with what was counted, and the rollout that runs."""
        answer: dict[str, Any] = self._ask("GET", _model_path(model))
        return answer

    def set_routes(self, model: str, wanted: RoutesWanted) -> Routes:
        """Other routes."""
        return self._parse(Routes, self._ask("PUT", f"{_model_path(model)}/routes", wanted))

    def start(self, model: str, wanted: RolloutWanted) -> RolloutView:
        """Start a rollout."""
        return self._parse(RolloutView, self._ask("POST", f"{_model_path(model)}/rollouts", wanted))

    def rollouts(self, model: str) -> list[RolloutLine]:
        """All of a model's, newest first."""
        lines = self._ask("GET", f"{_model_path(model)}/rollouts")["rollouts"]
        return [self._parse(RolloutLine, line) for line in lines]

    def trail(self, model: str) -> list[TrailLine]:
        """Everything that was done to a model's traffic, oldest first."""
        lines: list[TrailLine] = []
        while True:
            after = lines[-1].number if lines else 0
            page = self._ask("GET", f"{_model_path(model)}/trail?after={after}")["entries"]
            if not page:
                return lines
            lines += [self._parse(TrailLine, line) for line in page]

    def view(self, rollout: str) -> RolloutView:
        """A rollout as it stands."""
        return self._parse(RolloutView, self._ask("GET", _rollout_path(rollout)))

    def act(self, rollout: str, act: Act, wanted: ActWanted) -> RolloutView:
        """What a person does to it. Raises Unwritten where it is done, and written down later."""
        return self._parse(RolloutView, self._ask("POST", f"{_rollout_path(rollout)}/{act}", wanted))

    def replay(self, rollout: str) -> Replay:
        """Every verdict computed once more, by the server."""
        return self._parse(Replay, self._ask("GET", f"{_rollout_path(rollout)}/replay"))

    def _parse(self, record: type[R], data: Any) -> R:
        try:
            return record.parse(data, self.url)
        except InvalidRecord as error:
            raise ServerFailed(f"{error}; is the server of another version than this program?") from None

    def _ask(self, method: str, path: str, body: Record | None = None) -> Any:
        """The answer's JSON, an object."""
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        # What was not given is left out: a server of an older version may not know it.
        text = body.model_dump_json(exclude_none=True) if body is not None else None
        status, content = self._exchange(method, path, headers, text)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, Mapping) or not (status in (200, 201) or "error" in answer):
            raise ServerFailed(
                f"{self.url}{path} answered {status} without JSON of ours; give --url the address of a "
                "Counterweight server"
            )
        if status == 202:
            raise Unwritten(printable(str(answer["error"])))
        if status >= 500:
            raise ServerFailed(f"{self.url}: {printable(str(answer['error']))}")
        if status >= 300:
            said, current = printable(str(answer["error"])), answer.get("current")
            raise StaleRevision(said, current) if isinstance(current, int) else Refused(said)
        return answer

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None
    ) -> tuple[int, bytes]:
        """Status and body. A connection of its own each time: there may be a minute between two."""
        make = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = make(self._parts.hostname or "", self._parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, self._parts.path + path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(_LIMIT_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise ServerFailed(
                f"no answer from {self.url}: {error or type(error).__name__}; start a server with "
                "`counterweight serve models`, or give the address of one that runs with --url"
            ) from None
        finally:
            connection.close()


def _server_of(url: str) -> SplitResult:
    """The URL's parts. Raises InvalidRecord."""
    try:
        parts = parse_url(url)
    except ValueError as error:
        raise InvalidRecord(str(error)) from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidRecord(
            "a server's URL has no name, password or query in it; give one such as http://127.0.0.1:8000, "
            "and a token by --token-file"
        )
    return parts


def _model_path(model: str) -> str:
    return f"/control/models/{quote(model, safe='')}"


def _rollout_path(rollout: str) -> str:
    return f"/control/rollouts/{quote(rollout, safe='')}"
