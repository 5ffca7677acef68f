"""The gRPC service behind a port, over a registry that really runs models."""

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from serve.base.errors import ServerFailed
from serve.base.settings import Settings
from serve.observe.access_log import AccessLog
from serve.observe.observer import Observer
from serve.oip import inference_pb2 as wire
from serve.oip.grpc_calls import SERVICE
from serve.oip.grpc_server import GrpcServer
from tests.serve.cluster import Cluster
from tests.serve.endpoint import Endpoint
from tests.serve.host import Stuck
from tests.serve.oip.calls import ROWS, grpc_beside, infer, running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_from_the_models_that_http_serves(module_repository: Path) -> None:
    """The gRPC service uses the models of the HTTP server and adds to the same counts."""
    with running(module_repository) as (endpoint, address):
        assert infer(address).as_numpy("y").tolist() == [[8.0] * 3] * 2
        assert endpoint.registry.loads()["linear", "light"].tally.rows == 2
        with triton.InferenceServerClient(address) as client:
            assert client.is_server_ready()
            assert client.is_model_ready("linear", "light")


def test_the_access_log_has_a_line_for_each_request(module_repository: Path, tmp_path: Path) -> None:
    """The access log has one line a call, with gRPC's status code, the caller's trace and id."""
    log = AccessLog(tmp_path / "log")
    headers = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    with running(module_repository, observer=Observer(log)) as (_, address):
        infer(address, headers=headers)
        with pytest.raises(InferenceServerException):
            infer(address, "lite")
    log.close()
    good, bad = lines(tmp_path / "log")
    assert (good["request_id"], good["trace_id"]) == ("mine", TRACE)
    assert (good["method"], good["status"]) == ("inference.GRPCInferenceService/ModelInfer", "OK")
    assert (good["model"], good["variant"], good["rows"], good["error"]) == ("linear", "light", 2, None)
    assert (bad["status"], bad["error"], bad["variant"]) == ("NOT_FOUND", "UnknownVariant", None)


def test_a_client_that_left_is_cancelled(module_repository: Path, tmp_path: Path) -> None:
    """A call whose client leaves is cancelled and logged as cancelled."""
    log, stuck = AccessLog(tmp_path / "log"), Stuck()
    with running(module_repository, observer=Observer(log), place=stuck.place) as (endpoint, address):

        async def leave() -> None:
            async with grpc.aio.insecure_channel(address) as channel:
                method: Any = channel.unary_unary(f"/{SERVICE}/ModelInfer")
                request = wire.ModelInferRequest(model_name="linear", raw_input_contents=[ROWS.tobytes()])
                request.inputs.add(name="x", datatype="FP32", shape=ROWS.shape)
                call = method(request.SerializeToString())
                # This loop must be free to send the call.
                await asyncio.to_thread(endpoint.wait_for_requests, 1)
                call.cancel()

        asyncio.run(leave())
        # The server has noticed the cancellation before the run may end.
        while not lines(tmp_path / "log"):
            time.sleep(0.001)
        endpoint.call(stuck.let_go())
    log.close()
    [line] = lines(tmp_path / "log")
    assert (line["status"], line["rows"]) == ("CANCELLED", None)


def test_a_clients_deadline_is_one(module_repository: Path) -> None:
    """A call that exceeds the client's deadline fails with DEADLINE_EXCEEDED."""
    stuck = Stuck()
    with running(module_repository, place=stuck.place) as (endpoint, address):
        tally = endpoint.registry.loads()["linear", "light"].tally
        with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
            infer(address, client_timeout=0.2)
        endpoint.call(stuck.let_go())
    # If gRPC was faster, the call was cancelled and counts as no error.
    assert set(tally.failures) <= {"DeadlineExceeded"}


def test_a_lost_host_is_unavailable_or_rescued(module_repository: Path) -> None:
    """A lost process gives UNAVAILABLE, or the baseline answers."""
    cluster = Cluster()
    weights = {"linear": {"base": 0, "light": 1}}
    with running(module_repository, place=cluster.place, weights=weights) as (endpoint, address):
        endpoint.call(cluster.hosts["linear/light"].kill())
        rescued = infer(address, "").get_response()
        assert rescued.model_version == "base"
        assert rescued.parameters["rescued_from"].string_param == "light"
        with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
            infer(address, timeout=200_000)


def test_a_message_over_the_limit_is_refused(module_repository: Path) -> None:
    """A message over the size limit is refused."""
    with running(module_repository, settings=Settings(max_body_bytes=1000)) as (_, address):
        assert infer(address).as_numpy("y").shape == (2, 3)
        with pytest.raises(InferenceServerException, match="RESOURCE_EXHAUSTED"):
            infer(address, rows=np.ones((100, 4), np.float32))


def test_two_servers_share_a_port(module_repository: Path) -> None:
    """Two servers share a port; when one stops, the other answers."""
    with running(module_repository) as (_, address):
        port = int(address.rpartition(":")[2])
        with Endpoint(repository=module_repository) as other, grpc_beside(other, port):
            # Each call has a connection of its own, and the system distributes them.
            for _ in range(60):
                infer(address)
            assert other.registry.loads()["linear", "light"].tally.requests > 0
        assert infer(address).as_numpy("y").shape == (2, 3)


def test_an_address_that_is_not_to_be_had_is_named() -> None:
    """The error for an address in use names the address and `--grpc-port`."""

    async def start(port: int) -> None:
        handler = grpc.method_handlers_generic_handler(SERVICE, {})
        await GrpcServer(handler, Settings()).start("127.0.0.1", port)

    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"cannot listen on 127.0.0.1:{port}.*--grpc-port"):
            asyncio.run(start(port))
