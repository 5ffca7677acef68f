"""Doors: the one port of a replica that no setting of Ray's keeps on the loopback interface."""

from typing import Any

import ray
from ray.serve._private import replica


def close_doors() -> None:
    """Make this replica listen for the calls of other replicas where the rest of Ray listens: on the loopback
    interface, unless Ray was started as a cluster. Called while the replica is made, before it listens.

    Ray Serve 2.60 binds that server to every interface (replica.py, `_on_initialized`), without TLS it asks
    for no token, and it unpickles what comes."""
    if ray.util.get_node_ip_address() != "127.0.0.1":  # type: ignore[no-untyped-call]
        return
    module: Any = replica
    add_port = module.add_port_to_grpc_server

    def on_loopback(server: Any, address: str) -> int:
        port: int = add_port(server, address.replace("[::]", "127.0.0.1"))
        return port

    module.add_port_to_grpc_server = on_loopback
