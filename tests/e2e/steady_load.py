"""Steady load: requests at a fixed rate from a few threads, each with its connection, every answer kept."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ask:
    """A request that is repeated: a JSON body for a path of the server."""

    path: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The result of one request."""

    # When the request was due, on the clock of time.monotonic, and the seconds from then to its answer.
    due: float
    took_s: float
    # 0 means that there was no answer.
    status: int
    variant: str | None = None
    # The parameters of the answer; empty if the variant that was asked answered.
    parameters: dict[str, Any] = field(default_factory=dict)
    retry_after: str | None = None
    error: str = ""

    @property
    def ended(self) -> float:
        """Return the time of the answer."""
        return self.due + self.took_s


@dataclass
class Steady:
    """The results of the load."""

    samples: list[Sample] = field(default_factory=list)

    def failed(self) -> list[Sample]:
        """Return the requests without a good answer."""
        return [sample for sample in self.samples if sample.status != 200]

    def marked(self) -> list[Sample]:
        """Return the requests whose answer has parameters, such as rescued ones."""
        return [sample for sample in self.samples if sample.parameters]

    def wait_for(self, count: int) -> None:
        """Return once `count` requests that have not started yet have ended."""
        now = time.monotonic()
        while sum(sample.due > now for sample in self.samples) < count:
            time.sleep(0.02)


@contextmanager
def steady(port: int, *asks: Ask, rate: float, threads: int = 4) -> Iterator[Steady]:
    """Send the requests in turn at `rate` a second, at most `threads` at once, while the context lasts."""
    result, stop = Steady(), threading.Event()
    start, turns = time.monotonic(), itertools.count()

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not stop.is_set():
            # A free thread takes the next turn, so that a slow answer delays no other thread's request.
            turn = next(turns)
            due = start + turn / rate
            if (wait_s := due - time.monotonic()) > 0:
                time.sleep(wait_s)
            result.samples.append(_send(connection, asks[turn % len(asks)], due))
        connection.close()

    senders = [threading.Thread(target=send) for _ in range(threads)]
    for sender in senders:
        sender.start()
    try:
        yield result
    finally:
        stop.set()
        for sender in senders:
            sender.join()


def _send(connection: http.client.HTTPConnection, ask: Ask, due: float) -> Sample:
    try:
        headers = {"content-type": "application/json", **ask.headers}
        connection.request("POST", ask.path, json.dumps(ask.body), headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as failure:
        connection.close()
        return Sample(due=due, took_s=time.monotonic() - due, status=0, error=repr(failure))
    return Sample(
        due=due,
        took_s=time.monotonic() - due,
        status=answer.status,
        variant=content.get("model_version"),
        parameters=content.get("parameters", {}),
        retry_after=answer.headers["retry-after"],
        error=content.get("error", ""),
    )
