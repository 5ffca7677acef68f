"""Keep the one port of a replica on the loopback interface for which Ray has no setting."""

from typing import Any

import ray
from ray.serve._private import replica


def close_doors() -> None:
    """Make the replica's server for calls of other replicas listen on the loopback interface, like the rest
    of Ray, unless Ray was started as a cluster. Call this while the replica is created, before it listens.

    Ray Serve 2.60 binds that server to all interfaces (replica.py, `_on_initialized`); without TLS it needs
    no token, and it unpickles its input."""
    if ray.util.get_node_ip_address() != "127.0.0.1":  # type: ignore[no-untyped-call]
        return
    module: Any = replica
    add_port = module.add_port_to_grpc_server

    def on_loopback(server: Any, address: str) -> int:
        port: int = add_port(server, address.replace("[::]", "127.0.0.1"))
        return port

    module.add_port_to_grpc_server = on_loopback
