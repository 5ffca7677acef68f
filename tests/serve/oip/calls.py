"""Functions that start the gRPC service on a port, and Triton's client for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton

from deployments.ports import free_ports
from serve.oip.grpc_server import GrpcServer
from serve.oip.grpc_service import grpc_handler
from tests.serve.endpoint import Endpoint

ROWS = np.ones((2, 4), np.float32)


@contextmanager
def grpc_beside(endpoint: Endpoint, port: int) -> Iterator[str]:
    """The gRPC service over the endpoint's registry; its address."""

    async def start() -> GrpcServer:
        handler = grpc_handler(
            endpoint.registry, endpoint.shelf, endpoint.access, endpoint.settings, endpoint.observer
        )
        server = GrpcServer(handler, endpoint.settings)
        await server.start("127.0.0.1", port)
        return server

    server = endpoint.call(start())
    try:
        yield f"127.0.0.1:{port}"
    finally:
        endpoint.call(server.stop())


@contextmanager
def running(repository: Path, **setup: Any) -> Iterator[tuple[Endpoint, str]]:
    with (
        Endpoint(repository=repository, **setup) as endpoint,
        grpc_beside(endpoint, free_ports(1)[0]) as address,
    ):
        yield endpoint, address


def infer(address: str, variant: str = "light", rows: Any = ROWS, **call: Any) -> Any:
    """Return the answer by Triton's client."""
    tensor = triton.InferInput("x", list(rows.shape), "FP32").set_data_from_numpy(rows)
    with triton.InferenceServerClient(address) as client:
        return client.infer("linear", [tensor], model_version=variant, **call)
