"""The places in Ray that this code changes still exist."""

import inspect
import re
from typing import Any

import pytest
import ray.serve._private.replica

from deployments.loopback import close_doors

REPLICA: Any = ray.serve._private.replica


@pytest.mark.parametrize(
    ("node", "address"), [("127.0.0.1", "127.0.0.1:0"), ("10.0.0.7", "[::]:0")], ids=["alone", "cluster"]
)
def test_a_replica_listens_where_the_rest_of_ray_listens(
    node: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica listens on the loopback interface, unless Ray is a cluster."""
    bound: list[str] = []

    def add_port(_: object, address: str) -> int:
        bound.append(address)
        return 1

    monkeypatch.setattr(REPLICA, "add_port_to_grpc_server", add_port)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: node)
    close_doors()
    assert REPLICA.add_port_to_grpc_server(None, "[::]:0") == 1
    assert bound == [address]


def test_ray_binds_the_port_of_a_replica_by_the_name_that_is_replaced() -> None:
    """Ray's replica binds its port in one place by this name, with every interface as its address."""
    calls = re.findall(r"add_port_to_grpc_server\(([^)]*)\)", inspect.getsource(REPLICA))
    assert calls == ['self._server, "[::]:0"']


def test_ray_calls_it_with_a_server_and_an_address() -> None:
    """Ray's function takes a server and an address, in this order."""
    assert list(inspect.signature(REPLICA.add_port_to_grpc_server).parameters) == ["server", "address"]
