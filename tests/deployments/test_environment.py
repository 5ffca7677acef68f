import os
import socket
from pathlib import Path

import pytest

from deployments.environment import free_ports, ray_environment, set_ray_environment
from serve.errors import ServerFailed


def test_without_haproxy_rays_own_proxy_is_used(tmp_path: Path) -> None:
    """Throughput mode alone would start no proxy at all."""
    settings = ray_environment(tmp_path, haproxy=False)
    assert settings["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    assert settings["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "0"
    assert settings["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"


def test_two_servers_on_a_machine_share_nothing(tmp_path: Path) -> None:
    """Every file lies in the server's own folder, and no port and no token is the same."""
    one, other = (ray_environment(tmp_path / name, haproxy=True) for name in ("one", "other"))
    files = {name for name, value in one.items() if value.startswith(str(tmp_path))}
    assert len(files) == 5
    assert all(not other[name].startswith(str(tmp_path / "one")) for name in files)
    assert one["RAY_AUTH_TOKEN"] != other["RAY_AUTH_TOKEN"]
    ports = [value for name, value in one.items() if name.endswith("_PORT")]
    assert len(set(ports)) == len(ports)


def test_what_a_person_has_set_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting can be overridden from outside."""
    for name in ray_environment(tmp_path, haproxy=True):
        monkeypatch.setenv(name, "mine")
    set_ray_environment(tmp_path)
    assert os.environ["RAY_SERVE_ENABLE_HA_PROXY"] == "mine"


def test_free_ports_are_free_and_all_different() -> None:
    """Each can be listened on."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_says_so_when_there_are_not_enough_ports() -> None:
    """Instead of an endless search."""
    with pytest.raises(ServerFailed, match="no 100000 are free"):
        free_ports(100_000)
