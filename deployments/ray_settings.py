"""Ray's settings, in one place. Ray reads them when it is imported and when it starts: set them before."""

import os
import secrets

# Largest message between gateway and variant; must hold a whole batch of request bodies.
_MAX_MESSAGE_BYTES = 512 * 2**20


def set_ray_environment() -> None:
    """Put the settings into this process's environment; what a person has set there already stands."""
    for name, value in ray_environment().items():
        os.environ.setdefault(name, value)


def ray_environment() -> dict[str, str]:
    """The settings for one server on this machine."""
    return {
        # User code and router on one event loop, gRPC between replicas, buffered logs, GC frozen.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # The gateways listen themselves: no proxy, and no port that Ray opens for one.
        "RAY_SERVE_ENABLE_HA_PROXY": "0",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_MAX_MESSAGE_BYTES),
        # Whatever its name says: a Ray that is no cluster keeps its own ports on the loopback interface.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Ray would give way to every other process of the machine (nice 15).
        "RAY_worker_niceness": "0",
        # What Ray does all day long, ten times a second by default, took 15 % of a core; so it takes 10 %.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "5000",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A token of this server's own, so that Ray writes none into the home folder.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
