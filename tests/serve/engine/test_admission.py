"""When a request counts, and how one counts whose client leaves."""

import asyncio
import json
import socket
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from deployments.ports import free_ports
from serve.base.errors import InvalidRequest, ModelFailed
from serve.base.routing import bucket_of, point_of
from serve.counting.count_delta import Count
from serve.counting.journal import Journal, read_accounts
from serve.engine.admission import Answer
from serve.observe.observer import Observer
from serve.oip.grpc_server import GrpcServer
from serve.oip.grpc_service import grpc_handler
from tests.serve.clock import run, settle
from tests.serve.endpoint import Endpoint
from tests.serve.host import Stuck
from tests.serve.served_model import ask, serving, two
from tests.serve.watched_model import LIGHT, counts_of, sheet_of, to, watch, watched

ABANDONED = Count(requests=1, over_limit=1)


def test_a_request_counts_before_it_is_answered() -> None:
    """A request counts on its admission, before it is answered."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].leave.clear()
        async with watched(hosts=hosts) as model:
            asked = asyncio.create_task(ask(model))
            await settle()
            counted = counts_of(model)
            hosts["light"].leave.set()
            await asked
            return counted

    assert run(scenario()) == {LIGHT: (1, 0)}


@pytest.mark.parametrize("limit_ms", [None, 1e9])
def test_a_client_that_leaves_was_not_answered_in_time(limit_ms: float | None) -> None:
    """A request whose client leaves counts as an error and as over the limit, however early it leaves."""

    async def scenario() -> tuple[Count, int]:
        hosts = two()
        hosts["light"].leave.clear()
        async with serving(hosts) as model:
            model.route(to("light"), watch(limit_ms=limit_ms))
            asked = asyncio.create_task(ask(model))
            await settle()
            asked.cancel()
            await asyncio.wait([asked])
            hosts["light"].leave.set()
            return sheet_of(model).counts[LIGHT], model.tallies["light"].abandoned

    assert run(scenario()) == (ABANDONED, 1)


def test_a_key_counts_in_its_bucket() -> None:
    """A request with a key counts in the key's bucket, for the variant that was chosen."""

    async def scenario() -> Any:
        async with watched() as model:
            for key in ("maria", "maria", "john"):
                await ask(model, key=key)
            return sheet_of(model).counts[3, True, "light"].keys

    maria, john = (bucket_of(point_of("linear", key)) for key in ("maria", "john"))
    assert run(scenario()) == {maria: Count(requests=2), john: Count(requests=1)}


def test_the_time_to_encode_the_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding the answer counts towards the latency: two seconds of it exceed a limit of one."""
    seconds = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: seconds[0])
    monkeypatch.setattr("serve.engine.model.time", clock)
    monkeypatch.setattr("serve.engine.admission.time", clock)

    def encode(answer: Answer) -> Answer:
        seconds[0] += 2
        return answer

    async def scenario() -> Count:
        async with serving(two()) as model:
            model.route(to("light"), watch(limit_ms=1000))
            await ask(model, encode=encode)
            return sheet_of(model).counts[LIGHT]

    assert run(scenario()) == Count(requests=1, over_limit=1)


BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
LIGHT_ONLY: dict[str, dict[str, float]] = {"linear": {"base": 0.0, "light": 1.0}}


def told(endpoint: Endpoint) -> list[Count]:
    """Return the candidate's counts, once a request was abandoned."""

    async def look() -> list[Count]:
        model = endpoint.registry.models["linear"]
        while not model.tallies["light"].abandoned:
            await asyncio.sleep(0.001)
        delta = model.delta()
        return [] if delta is None else list(delta.counts.values())

    return endpoint.call(look())


def test_a_client_that_leaves_over_http_counts(module_repository: Path) -> None:
    """A client that closes its connection over HTTP counts as abandoned."""
    stuck = Stuck()
    with Endpoint(repository=module_repository, weights=LIGHT_ONLY, place=stuck.place) as endpoint:
        endpoint.watched("r1")
        content = json.dumps(BODY).encode()
        with socket.create_connection(("127.0.0.1", endpoint.port)) as connection:
            head = (
                f"POST /v2/models/linear/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            connection.sendall(head.encode() + content)
            endpoint.wait_for_requests(1)
        counted = told(endpoint)
        endpoint.call(stuck.let_go())
    assert counted == [ABANDONED]


@pytest.mark.parametrize("streamed", [False, True], ids=["one call", "stream"])
def test_a_client_that_leaves_over_grpc_counts(module_repository: Path, streamed: bool) -> None:
    """A cancelled gRPC call counts as an abandoned request."""
    stuck, [port] = Stuck(), free_ports(1)
    with Endpoint(repository=module_repository, weights=LIGHT_ONLY, place=stuck.place) as endpoint:
        endpoint.watched("r1")

        async def start() -> GrpcServer:
            handler = grpc_handler(
                endpoint.registry, endpoint.shelf, endpoint.access, endpoint.settings, Observer()
            )
            server = GrpcServer(handler, endpoint.settings)
            await server.start("127.0.0.1", port)
            return server

        server = endpoint.call(start())
        tensor = triton.InferInput("x", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            if streamed:
                client.start_stream(lambda result, error: None)
                client.async_stream_infer("linear", [tensor])
                endpoint.wait_for_requests(1)
                client.stop_stream(cancel_requests=True)
            else:
                call = client.async_infer("linear", [tensor], lambda result, error: None)
                endpoint.wait_for_requests(1)
                call.cancel()
        counted = told(endpoint)
        endpoint.call(stuck.let_go())
        endpoint.call(server.stop())
    assert counted == [ABANDONED]


@pytest.mark.parametrize("error", [None, InvalidRequest("no UTF-8"), ModelFailed("no idea"), OSError()])
@pytest.mark.parametrize("leaves", [False, True])
def test_nobody_stays_in_flight(tmp_path: Path, error: Exception | None, leaves: bool) -> None:
    """The journal has no request in flight after a request has ended, whichever way it ended."""

    async def scenario() -> list[int]:
        hosts = two()
        hosts["light"].error = error
        hosts["light"].leave.clear()
        async with serving(hosts) as model:
            model.begin_census = partial(Journal(tmp_path, "one").counter, "linear")
            model.route(to("light"), watch())
            asked = asyncio.create_task(ask(model, key="maria"))
            await settle()
            [account] = read_accounts(tmp_path, "one")
            seen = [line.in_flight for line in account.deltas[1]]
            if leaves:
                asked.cancel()
            hosts["light"].leave.set()
            await asyncio.gather(asked, return_exceptions=True)
            [account] = read_accounts(tmp_path, "one")
            return seen + [line.in_flight for line in account.deltas[1]]

    assert run(scenario()) == [1, 1, 0, 0]
