"""The settings of Ray. Ray reads them when it is imported and started, so they must be set before."""

import os
import secrets

# Largest message between gateway and variant; must hold a whole batch of request bodies.
_MAX_MESSAGE_BYTES = 512 * 2**20


def set_ray_environment() -> None:
    """Set the environment variables of this process; variables that are already set are kept."""
    for name, value in ray_environment().items():
        os.environ.setdefault(name, value)


def ray_environment() -> dict[str, str]:
    """The settings for one server on this machine."""
    return {
        # User code and router on one event loop, gRPC between replicas, buffered logs, frozen GC.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # The gateways listen themselves, so Ray needs no proxy and opens no port for one.
        "RAY_SERVE_ENABLE_HA_PROXY": "0",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_MAX_MESSAGE_BYTES),
        # Despite its name: without a cluster, Ray keeps its own ports on the loopback interface.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # By default Ray lowers its priority below all other processes (nice 15).
        "RAY_worker_niceness": "0",
        # Ray's control loop takes 15 % of a core at its default of ten times a second, and 10 % with this.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "5000",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A token for this server only, so that Ray does not write one to the home folder.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
