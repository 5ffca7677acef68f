import socket

import pytest

from deployments.ports import free_ports, require_free
from serve.base.errors import ServerFailed


def test_free_ports_are_free_and_all_different() -> None:
    """20 free ports are different, and each can be opened."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_free_ports_lie_where_no_connection_gets_its_own() -> None:
    """Free ports are from 20000 to 31999, below the range of outgoing connections."""
    assert all(20_000 <= port < 32_000 for port in free_ports(20))


def test_says_so_when_there_are_not_enough_ports() -> None:
    """The request for too many ports raises an error."""
    with pytest.raises(ServerFailed, match="fewer than 100000 "):
        free_ports(100_000)


def test_a_port_that_is_taken_is_named_with_its_option() -> None:
    """A used port is reported with its option before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"cannot listen on 127.0.0.1:{port}: .*another --grpc-port"):
            require_free("127.0.0.1", port, "--grpc-port")


def test_a_port_shared_by_others_is_taken_too() -> None:
    """A port that another process shares by SO_REUSEPORT counts as taken."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(ServerFailed, match="cannot listen"):
            require_free("127.0.0.1", holder.getsockname()[1], "--port")


def test_a_free_port_is_let_through() -> None:
    """A free port passes the check and is still free afterwards."""
    [port] = free_ports(1)
    require_free("127.0.0.1", port, "--port")
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize("host", ["256.0.0.1", "no.such.host.invalid"])
def test_a_host_that_is_none_is_named(host: str) -> None:
    """The error for an invalid host names it."""
    with pytest.raises(ServerFailed, match=f"cannot listen on {host}:8000"):
        require_free(host, 8000, "--port")
