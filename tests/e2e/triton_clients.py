"""Triton's own unmodified clients, behind one interface for the four of them."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import np_to_triton_dtype

from tests.e2e.server import Server

KINDS = {
    "http": tritonclient.http,
    "http-aio": tritonclient.http.aio,
    "grpc": tritonclient.grpc,
    "grpc-aio": tritonclient.grpc.aio,
}


class Stock:
    """A client."""

    def __init__(self, kind: str, server: Server, runner: asyncio.Runner) -> None:
        self.http = kind.startswith("http")
        self._wire = KINDS[kind.removesuffix("-aio")]
        self._runner = runner
        port = server.port if self.http else server.grpc_port
        # The asyncio clients must be made in a running loop.
        self._client = self._wait(self._make(KINDS[kind], f"127.0.0.1:{port}"))

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Return the result of the client's method, awaited if necessary."""
        return self._wait(getattr(self._client, name)(*arguments, **options))

    def ask(self, name: str, *arguments: Any) -> Any:
        """Return the JSON of a method, which needs an option over gRPC."""
        return self.call(name, *arguments, **({} if self.http else {"as_json": True}))

    def input(self, name: str, array: Any, *, binary: bool = True) -> Any:
        """An input tensor; over HTTP as bytes or as JSON."""
        tensor = self._wire.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, **({"binary_data": binary} if self.http else {}))
        return tensor

    def wanted(self, name: str, *, classes: int = 0, binary: bool = True) -> Any:
        """Return a requested output; over HTTP as bytes or as JSON."""
        options = {"binary_data": binary} if self.http else {}
        return self._wire.InferRequestedOutput(name, class_count=classes, **options)

    def infer(self, model: str, *inputs: Any, **options: Any) -> Any:
        """Return the client's result."""
        return self.call("infer", model, list(inputs), **options)

    def _wait(self, result: Any) -> Any:
        async def wait() -> Any:
            return await result

        return self._runner.run(wait()) if inspect.isawaitable(result) else result

    async def _make(self, module: Any, address: str) -> Any:
        return module.InferenceServerClient(address)


@contextmanager
def stock_client(kind: str, server: Server) -> Iterator[Stock]:
    """A client of one of the KINDS, closed at the end."""
    with asyncio.Runner() as runner:
        client = Stock(kind, server, runner)
        try:
            yield client
        finally:
            client.call("close")
