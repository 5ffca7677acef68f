"""The gRPC server of the protocol, on a port that several processes of this machine can share."""

import grpc

from serve.base.errors import ServerFailed
from serve.base.settings import Settings

_STOP_TIMEOUT_S = 10


class GrpcServer:
    """A gRPC service on a port."""

    def __init__(self, handler: grpc.GenericRpcHandler, settings: Settings) -> None:
        self._server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", settings.max_header_bytes),
            )
        )
        self._server.add_generic_rpc_handlers((handler,))

    async def start(self, host: str, port: int) -> None:
        """Start listening. Raises ServerFailed if the address is not available."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ServerFailed(f"cannot listen on {address}: {error}; give another --grpc-port") from None
        await self._server.start()

    async def stop(self) -> None:
        """Stop accepting calls and finish the accepted ones."""
        await self._server.stop(_STOP_TIMEOUT_S)
