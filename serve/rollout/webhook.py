"""Send each change to the URL in a policy, without delaying the rollout."""

import base64
import http.client
import logging
import threading
import time
from collections import deque
from urllib.parse import unquote

from serve.base.url import parse_url
from serve.rollout.api_records import TrailLine

_log = logging.getLogger("counterweight.webhook")
_TIMEOUT_S = 5.0
# The pauses before the second and the third try.
_PAUSES_S = (1.0, 4.0)
# Beyond this, the oldest notices are dropped: the newest matter most, and entry numbers show the gap.
_MOST_WAITING = 100


class Notice(TrailLine):
    """The body of a notice: an entry of the trail, with its model."""

    model: str


class Webhook:
    """Sends a POST for each change to one URL, in order, with up to three tries each.

    Failures are logged without the path of the URL, which may be as secret as a password in it."""

    def __init__(self, url: str) -> None:
        """`url` comes from a policy: http or https; a user and password in it are sent as Basic
        authentication."""
        self._url = parse_url(url)
        self._waiting: deque[Notice] = deque()
        self._changed = threading.Condition()
        # The deadline after `close`, on the monotonic clock; None before.
        self._until_s: float | None = None
        # A daemon, because a name look-up that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def notify(self, model: str, line: TrailLine) -> None:
        """Queue a notice. Never waits and never raises."""
        with self._changed:
            if len(self._waiting) == _MOST_WAITING:
                lost = self._waiting.popleft()
                _log.warning("%s: too many notices are waiting; dropped %s", self._name, _about(lost))
            self._waiting.append(Notice(model=model, **dict(line)))
            self._changed.notify_all()

    def close(self) -> None:
        """Return when everything is sent, or after 5 s. Later notices are not sent."""
        with self._changed:
            self._until_s = time.monotonic() + _TIMEOUT_S
            self._changed.notify_all()
        self._thread.join(_TIMEOUT_S + 1)
        for lost in self._waiting:
            _log.warning("%s: not sent before the server stopped: %s", self._name, _about(lost))

    @property
    def _name(self) -> str:
        return f"webhook {self._url.scheme}://{self._url.netloc.rpartition('@')[2]}"

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._until_s is not None)
                if not self._waiting or not self._left_s():
                    return
                notice = self._waiting.popleft()
            self._deliver(notice)

    def _left_s(self) -> float:
        """The timeout of the next try."""
        if self._until_s is None:
            return _TIMEOUT_S
        return min(max(self._until_s - time.monotonic(), 0.0), _TIMEOUT_S)

    def _deliver(self, notice: Notice) -> None:
        fault = ""
        for pause_s in (0.0, *_PAUSES_S):
            with self._changed:
                # No pauses after `close`.
                self._changed.wait_for(lambda: self._until_s is not None, pause_s)
            left_s = self._left_s()
            if not left_s:
                break
            fault = self._post(notice, left_s)
            if not fault:
                return
        _log.warning("%s: gave up on %s: %s", self._name, _about(notice), fault or "no time left")

    def _post(self, notice: Notice, timeout_s: float) -> str:
        """Send a notice. Returns the fault, or an empty string."""
        secure = self._url.scheme == "https"
        make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = make(self._url.hostname or "", self._url.port, timeout=timeout_s)
        try:
            connection.request("POST", self._target, notice.model_dump_json(), self._headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            # Without the error's message, which may contain the URL.
            return type(error).__name__
        finally:
            connection.close()
        if 300 <= status < 400:
            return f"answered {status}; redirects are not followed, so name the final URL"
        return "" if status < 300 else f"answered {status}"

    @property
    def _target(self) -> str:
        query = f"?{self._url.query}" if self._url.query else ""
        return f"{self._url.path or '/'}{query}"

    @property
    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self._url.username is not None:
            pair = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers


def _about(notice: Notice) -> str:
    return f"entry {notice.number} of {notice.model}"


class Webhooks:
    """A webhook for each URL in a policy."""

    def __init__(self) -> None:
        self._webhooks: dict[str, Webhook] = {}

    def notify(self, url: str, model: str, line: TrailLine) -> None:
        """Queue a notice for `url`. Never waits and never raises."""
        if url not in self._webhooks:
            self._webhooks[url] = Webhook(url)
        self._webhooks[url].notify(model, line)

    def close(self) -> None:
        """Send the rest, for at most 5 s."""
        for webhook in self._webhooks.values():
            webhook.close()
