"""A server of the protocol with exactly known behaviour, in a process of its own.

Its times are as set, except that timers of the event loop end up to 1 ms late. It ends with the process
that started it, however that ends."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODEL = "known"
STALL_S = 1.0
# CPU milliseconds that /metrics counts for each request, besides a variant's own.
GATEWAY_MS, PROXY_MS, RAY_MS = 1.0, 0.5, 0.25
# The memory that /metrics reports, besides the leak.
MEMORY_BYTES = 100 * 2**20


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How a variant answers: correctly and at once, except for these settings."""

    # Every answer takes this long; any number of them may run at the same time.
    service_ms: float = 0
    # One worker takes exactly 1 / per_s for each request, in the order in which they come. None: no queue.
    per_s: float | None = None
    # This share of the answers, drawn at random, takes this much longer.
    slow_share: float = 0
    slow_ms: float = 0
    # This share, drawn at random, is an HTTP 500.
    error_share: float = 0
    # At this request to the variant, counted from 1, the whole server stands still for STALL_S.
    stall_at: int | None = None
    # At this request the server exits without an answer.
    dies_at: int | None = None
    # The server answers only with a web page.
    html: bool = False
    # CPU of the model's run, and leaked memory, that /metrics counts for each request.
    cpu_ms: float = 0
    leak_bytes: int = 0


@contextmanager
def open_known(**variants: Behaviour) -> Iterator[str]:
    """The URL of a server with these variants of MODEL, without a weight an equal share each."""
    told = json.dumps({name: asdict(behaviour) for name, behaviour in variants.items()})
    with subprocess.Popen(
        [sys.executable, "-m", "tests.loadtests.known_server", told],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


class _Variant:
    """One variant at work."""

    def __init__(self, name: str, behaviour: Behaviour) -> None:
        self.name = name
        self.behaviour = behaviour
        self.requests = 0
        # When the worker will have answered all requests so far.
        self._free_at = 0.0
        self._draw = random.Random(name).random

    def take(self, now: float) -> tuple[float, int]:
        """When to answer the request that has come now, and with what status."""
        behaviour = self.behaviour
        self.requests += 1
        if self.requests == behaviour.dies_at:
            os._exit(0)
        if self.requests == behaviour.stall_at:
            time.sleep(STALL_S)
        slow, wrong = self._draw() < behaviour.slow_share, self._draw() < behaviour.error_share
        taken_s = (behaviour.service_ms + behaviour.slow_ms * slow) / 1000
        if behaviour.per_s is not None:
            # This computes the time and does not wait for it: a timer that fires late delays no later answer.
            self._free_at = max(self._free_at, now) + 1 / behaviour.per_s
            return self._free_at + taken_s, 500 if wrong else 200
        return now + taken_s, 500 if wrong else 200


class _Server:
    """What the connections ask."""

    def __init__(self, variants: Mapping[str, Behaviour]) -> None:
        self._variants = {name: _Variant(name, behaviour) for name, behaviour in variants.items()}
        self._draw = random.Random(0)
        self._posts = {"/control/weigh": self._weigh}
        self._gets = {f"/v2/models/{MODEL}": self._describe, "/metrics": self._measure}
        self._infer = {f"/v2/models/{MODEL}/infer": None} | {
            f"/v2/models/{MODEL}/versions/{name}/infer": name for name in variants
        }

    def answer(self, method: str, path: str, body: bytes, transport: asyncio.Transport) -> None:
        """Answer now, or when it is time to."""
        if method == "POST" and path in self._infer:
            self._answer_infer(self._infer[path], body, transport)
        elif method == "POST" and path in self._posts:
            _write(transport, 200, self._posts[path](body))
        elif method == "GET" and path in self._gets:
            _write(transport, 200, self._gets[path]())
        elif path.startswith("/html/"):
            _write(transport, 200, "<html>")
        else:
            _write(transport, 404, {"error": f"there is nothing at {path}"})

    def _answer_infer(self, name: str | None, body: bytes, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        came = loop.time()
        variant = self._variants[name or self._draw.choice(list(self._variants))]
        at, status = variant.take(came)
        content: Any = {"error": "failed as it was told"}
        if variant.behaviour.html:
            content = "<html>"
        elif status == 200:
            # The server ignores what follows the JSON of a binary request.
            request, _ = json.JSONDecoder().raw_decode(body.decode("latin-1"))
            content = {
                "model_name": MODEL,
                "model_version": variant.name,
                "id": request["id"],
                "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 1, -2e3]}],
            }
        loop.call_at(at, _write, transport, status, content)

    def _describe(self) -> Any:
        return {
            "name": MODEL,
            "versions": list(self._variants),
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        }

    def _measure(self) -> str:
        """Write the metrics as serve/observe/metrics.py does."""
        lines, requests = [], sum(variant.requests for variant in self._variants.values())
        leaked = sum(variant.requests * variant.behaviour.leak_bytes for variant in self._variants.values())
        parts = {'part="gateway"': requests * GATEWAY_MS, 'part="ray"': requests * RAY_MS, 'part="keeper"': 0}
        for name, variant in self._variants.items():
            labels, cpu_ms = f'model="{MODEL}",variant="{name}"', variant.requests * variant.behaviour.cpu_ms
            lines.append(f"counterweight_requests_total{{{labels}}} {variant.requests}")
            lines.append(f"counterweight_run_cpu_seconds_total{{{labels}}} {cpu_ms / 1e3}")
            parts[f'part="variant",{labels}'] = cpu_ms + variant.requests * PROXY_MS
        for labels, cpu_ms in parts.items():
            lines.append(f"counterweight_process_cpu_seconds_total{{{labels}}} {cpu_ms / 1e3}")
        memory = f'counterweight_process_resident_memory_bytes{{part="gateway"}} {MEMORY_BYTES + leaked}'
        stamp = f"counterweight_process_read_timestamp_seconds {time.time()}"
        return "\n".join([*lines, memory, stamp, ""])

    def _weigh(self, body: bytes) -> Any:
        """What the real server answers, from the very same function."""
        from serve.rollout.judging.weigh import Weighing, weigh

        return weigh(Weighing.model_validate_json(body)).model_dump()


def _write(transport: asyncio.Transport, status: int, content: Any) -> None:
    kind = "application/json"
    if isinstance(content, str):
        kind = "text/html" if content.startswith("<") else "text/plain"
    body = (content if isinstance(content, str) else json.dumps(content)).encode()
    if not transport.is_closing():
        head = f"HTTP/1.1 {status} Known\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        transport.write(head.encode() + body)


class _Connection(asyncio.Protocol):
    """Reads requests, one after the other."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._came[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body_end = end + 4 + int(headers.get("content-length", 0))
            if len(self._came) < body_end:
                return
            body, self._came = self._came[end + 4 : body_end], self._came[body_end:]
            method, path, _ = first.split(" ")
            self._server.answer(method, path, body, self._transport)


async def _main(told: str) -> None:
    loop = asyncio.get_running_loop()
    server = _Server({name: Behaviour(**fields) for name, fields in json.loads(told).items()})
    listening = await loop.create_server(lambda: _Connection(server), "127.0.0.1", 0, backlog=2048)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # The standard input ends when the parent process does.
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
