import os

import pytest

from deployments.ray_settings import ray_environment, set_ray_environment


def test_ray_opens_no_port_for_requests() -> None:
    """HAProxy and direct ingress of Ray Serve are off, as the gateways listen themselves."""
    settings = ray_environment()
    assert settings["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    assert settings["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "0"


def test_ray_is_no_cluster() -> None:
    """Ray runs without a cluster, so it listens on the loopback interface only."""
    assert ray_environment()["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


def test_two_servers_on_a_machine_have_different_tokens() -> None:
    """Two servers have different Ray tokens, which are in the environment only."""
    one, other = ray_environment(), ray_environment()
    assert one["RAY_AUTH_MODE"] == "token"
    assert one["RAY_AUTH_TOKEN"] != other["RAY_AUTH_TOKEN"]


def test_ray_reports_to_nobody() -> None:
    """Ray's usage statistics are off."""
    assert ray_environment()["RAY_USAGE_STATS_ENABLED"] == "0"


def test_what_a_person_has_set_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are set in the environment are not changed."""
    for name in ray_environment():
        monkeypatch.setenv(name, "mine")
    set_ray_environment()
    assert {os.environ[name] for name in ray_environment()} == {"mine"}


def test_what_nobody_has_set_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's settings are in the environment before ray is imported."""
    for name in ray_environment():
        # monkeypatch restores the former value only if it set the variable first.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    set_ray_environment()
    assert os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
